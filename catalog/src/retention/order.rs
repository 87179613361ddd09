//! Which times of versions fit the order of their numbers.

use jiff::Timestamp;

/// For each of these times, given by ascending number, whose time counts for it: its own index where it is of the longest run of
/// times that never fall (one of them, where there are several); else that of the next one of the run, or of its last one.
///
/// A few times that are wrong, before or behind the others, are so found without knowing what the clock did; it does not depend
/// on what time it is now.
pub(super) fn anchors(times: &[Timestamp]) -> Vec<usize> {
    let run = longest_run(times);
    let mut next = run.iter().copied().peekable();
    let mut last = 0;
    let anchor = |index| {
        while let Some(of_run) = next.next_if(|of_run| *of_run < index) {
            last = of_run;
        }
        next.peek().copied().unwrap_or(last)
    };
    (0..times.len()).map(anchor).collect()
}

/// Indices of the longest run of times that never fall, ascending.
fn longest_run(times: &[Timestamp]) -> Vec<usize> {
    // Of all runs of one length the end that is earliest; and what comes before each time in its run.
    let (mut ends, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), Vec::with_capacity(times.len()));
    for (index, time) in times.iter().enumerate() {
        let length = ends.partition_point(|end| times[*end] <= *time);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut run: Vec<_> = std::iter::successors(ends.last().copied(), |index| before[*index]).collect();
    run.reverse();
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchored(times: &[i64]) -> Vec<usize> {
        anchors(&times.iter().map(|second| Timestamp::from_second(*second).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn times_that_never_fall_count_for_themselves() {
        assert_eq!(anchored(&[]), [0; 0]);
        assert_eq!(anchored(&[5]), [0]);
        assert_eq!(anchored(&[1, 2, 2, 3]), [0, 1, 2, 3]);
    }

    #[test]
    fn a_time_that_does_not_fit_has_that_of_the_next_one_that_does() {
        assert_eq!(anchored(&[10, 20, 3, 30, 40]), [0, 1, 3, 3, 4], "set back once");
        assert_eq!(anchored(&[10, 20, 99, 30, 40]), [0, 1, 3, 3, 4], "ahead once");
        assert_eq!(anchored(&[10, 20, 30, 4, 5]), [0, 1, 2, 2, 2], "the end is set back: the last that fits");
        assert_eq!(anchored(&[90, 91, 1, 2, 3]), [2, 2, 2, 3, 4], "the beginning was ahead");
    }
}
