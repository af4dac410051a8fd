/// Which attempts made what an attempt has read: one for each quantum upstream, in the
/// order of the graph.
///
/// Runners may work at the same time, and an upstream quantum may run again. Whether a
/// success was made from what its inputs are now cannot be told from the order of runners
/// then; it is told from this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MadeFrom {
    /// Not recorded: before journal version 3 runners worked one after the other.
    #[default]
    Unknown,
    /// All by the first attempt of the same runner; also where nothing is upstream.
    Own,
    /// By these, as often in a row as each says.
    Attempts(Box<[MadeBy]>),
}

/// An attempt that made some of what another has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeBy {
    /// Its runner.
    pub runner: u32,
    /// Its number.
    pub attempt: u32,
    /// How many quanta upstream in a row had this runner and number.
    pub count: u32,
}

impl MadeFrom {
    /// Of an attempt of `runner`; `upstream` gives runner and number of each attempt.
    pub fn of(runner: u32, upstream: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut made: Vec<MadeBy> = Vec::new();
        for (by, attempt) in upstream {
            match made.last_mut() {
                Some(last) if (last.runner, last.attempt) == (by, attempt) => last.count += 1,
                _ => made.push(MadeBy { runner: by, attempt, count: 1 }),
            }
        }
        match &made[..] {
            [] => Self::Own,
            [one] if (one.runner, one.attempt) == (runner, 1) => Self::Own,
            _ => Self::Attempts(made.into()),
        }
    }

    /// Whether an attempt of `runner` was made from these attempts.
    pub fn is_of(&self, runner: u32, upstream: impl IntoIterator<Item = (u32, u32)>) -> bool {
        match self {
            Self::Unknown => upstream.into_iter().all(|(by, _)| by <= runner),
            Self::Own => upstream.into_iter().all(|made| made == (runner, 1)),
            Self::Attempts(made) => {
                let made =
                    made.iter().flat_map(|by| (0..by.count).map(move |_| (by.runner, by.attempt)));
                made.eq(upstream)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_attempt_was_made_from_is_told_exactly() {
        let many = [(1, 1), (1, 1), (2, 1), (2, 3), (1, 1)];
        let made = MadeFrom::of(2, many);
        assert!(matches!(&made, MadeFrom::Attempts(made) if made.len() == 4));
        assert!(made.is_of(2, many));
        for at in 0..many.len() {
            let mut other = many;
            other[at].1 += 1;
            assert!(!made.is_of(2, other), "{at} was made again");
        }
        assert!(!made.is_of(2, many.into_iter().take(4)));
        assert_eq!(MadeFrom::of(3, [(3, 1), (3, 1)]), MadeFrom::Own);
        assert!(MadeFrom::Own.is_of(3, [(3, 1)]) && !MadeFrom::Own.is_of(3, [(2, 1)]));
        assert_eq!(MadeFrom::of(3, []), MadeFrom::Own);
        assert!(MadeFrom::Unknown.is_of(3, [(3, 7), (1, 1)]));
        assert!(!MadeFrom::Unknown.is_of(3, [(4, 1)]));
    }
}
