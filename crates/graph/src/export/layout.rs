//! Where the nodes of a picture stand: in layers from left to right, each to the right
//! of what it depends on.

use super::source::Source;

/// A node of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Step(usize),
    Datum(usize),
}

/// Nodes by layer, each with its height: the middle of the picture is zero, and
/// neighbours in a layer are [`PITCH`] apart.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) layers: Vec<Vec<(Place, i64)>>,
}

/// How far apart the nodes of a layer are, in pixels.
pub(super) const PITCH: i64 = 56;

/// The neighbours of a node in the layers to the left and to the right.
#[derive(Debug, Default, Clone)]
struct Sides {
    left: Vec<usize>,
    right: Vec<usize>,
}

impl Layout {
    pub(super) fn of(source: &dyn Source) -> Self {
        let steps = source.step_count();
        let count = steps + source.datum_count();
        let hidden = |datum: usize| source.is_unread_log(datum);
        let mut layer_of = vec![0_usize; count];
        let mut sides = vec![Sides::default(); count];
        // The nodes that are inputs of the whole, and the leftmost step that reads each.
        let mut first_reader = vec![usize::MAX; source.datum_count()];
        for step in 0..steps {
            let reads = source.reads(step);
            // What is read was made by an earlier step, whose layer is known.
            let last = reads.iter().map(|edge| layer_of[steps + edge.datum]).max().unwrap_or(0);
            layer_of[step] = last + 1;
            for read in &reads {
                let reader = &mut first_reader[read.datum];
                *reader = (*reader).min(last + 1);
                sides[step].left.push(steps + read.datum);
                sides[steps + read.datum].right.push(step);
            }
            for written in source.writes(step).iter().filter(|edge| !hidden(edge.datum)) {
                layer_of[steps + written.datum] = last + 2;
                sides[step].right.push(steps + written.datum);
                sides[steps + written.datum].left.push(step);
            }
        }
        for datum in 0..source.datum_count() {
            if source.is_input(datum) && first_reader[datum] != usize::MAX {
                layer_of[steps + datum] = first_reader[datum] - 1;
            }
        }
        let mut layers: Vec<Vec<usize>> = Vec::new();
        for node in (0..count).filter(|node| *node < steps || !hidden(node - steps)) {
            let layer = layer_of[node];
            if layers.len() <= layer {
                layers.resize(layer + 1, Vec::new());
            }
            layers[layer].push(node);
        }
        // Without inputs, the first layer has nothing.
        layers.retain(|layer| !layer.is_empty());

        let mut height = vec![0_i64; count];
        for layer in &layers {
            spread(layer, &mut height);
        }
        // To and fro: each node to the mean height of its neighbours on one side.
        for _ in 0..2 {
            for layer in &mut layers {
                sort(layer, &mut height, |node| &sides[node].left);
            }
            for layer in layers.iter_mut().rev() {
                sort(layer, &mut height, |node| &sides[node].right);
            }
        }
        let place = |node: usize| match node.checked_sub(steps) {
            None => Place::Step(node),
            Some(datum) => Place::Datum(datum),
        };
        let layers =
            layers.iter().map(|l| l.iter().map(|node| (place(*node), height[*node])).collect());
        Self { layers: layers.collect() }
    }
}

fn sort<'a>(
    layer: &mut [usize],
    height: &mut [i64],
    neighbours: impl Fn(usize) -> &'a [usize] + 'a,
) {
    layer.sort_by_cached_key(|node| {
        let near = neighbours(*node);
        if near.is_empty() {
            return height[*node];
        }
        near.iter().map(|n| height[*n]).sum::<i64>() / number(near.len())
    });
    spread(layer, height);
}

/// Spreads a layer evenly around the middle, in its order.
fn spread(layer: &[usize], height: &mut [i64]) {
    let middle = (number(layer.len()) - 1) * PITCH / 2;
    for (position, node) in layer.iter().enumerate() {
        height[*node] = number(position) * PITCH - middle;
    }
}

/// A count as a coordinate.
pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).expect("fewer than there are bytes")
}
