//! What the formats need to know of a graph: steps (quanta or tasks), data (datasets or
//! dataset types), and which step reads and writes what.

/// A bipartite graph; steps and data are numbers.
pub(super) trait Source {
    /// What it is the graph of.
    fn title(&self) -> String;

    /// The attributes that its nodes have.
    fn attributes(&self) -> &'static [Attribute];

    fn step_count(&self) -> usize;

    fn datum_count(&self) -> usize;

    /// A name of the step that no other node has.
    fn step_id(&self, step: usize) -> String;

    /// A name of the datum that no other node has.
    fn datum_id(&self, datum: usize) -> String;

    fn step(&self, step: usize) -> Node;

    fn datum(&self, datum: usize) -> Node;

    /// Whether the datum is a log of a kind that no step reads.
    fn is_unread_log(&self, datum: usize) -> bool;

    /// Whether no step makes the datum.
    fn is_input(&self, datum: usize) -> bool;

    /// What a step reads: each is made by an earlier step, or by none.
    fn reads(&self, step: usize) -> Vec<Edge<'_>>;

    /// What a step writes; the last one is the log.
    fn writes(&self, step: usize) -> Vec<Edge<'_>>;
}

/// An attribute of nodes.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) is_boolean: bool,
}

impl Attribute {
    pub(super) const fn text(name: &'static str) -> Self {
        Self { name, is_boolean: false }
    }

    pub(super) const fn boolean(name: &'static str) -> Self {
        Self { name, is_boolean: true }
    }
}

/// What is known of a step or a datum.
#[derive(Debug)]
pub(super) struct Node {
    /// The first line of its label.
    pub(super) name: String,
    /// The second line.
    pub(super) detail: String,
    /// For each attribute of the source, in that order, its value if the node has it.
    pub(super) values: Vec<Option<String>>,
}

/// A step reads or writes a datum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge<'a> {
    pub(super) connection: &'a str,
    pub(super) datum: usize,
}
