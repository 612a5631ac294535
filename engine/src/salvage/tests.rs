use super::*;

#[test]
#[allow(clippy::single_range_in_vec_init, reason = "lists of ranges")]
fn ranges_are_joined_and_taken_away() {
    let sound = union([5..7, 0..2, 2..3, 6..9].into_iter());
    assert_eq!(sound, [0..3, 5..9]);
    let left = |range| without(range, &sound).collect::<Vec<_>>();
    assert_eq!(left(0..3), []);
    assert_eq!(left(0..12), [3..5, 9..12]);
    assert_eq!(left(4..6), [4..5]);
    assert_eq!(left(3..5), [3..5]);
    assert_eq!(left(10..11), [10..11]);
    assert_eq!(left(4..4), []);
}
