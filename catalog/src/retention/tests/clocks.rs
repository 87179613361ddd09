//! Clocks that are wrong let nothing go.

use super::*;

#[test]
fn a_clock_that_was_set_back_once_shadows_no_version_and_takes_no_place() {
    let mut versions = days(9);
    versions[8].at = "2026-11-03T13:00:00Z".parse().unwrap();
    assert_eq!(kept("daily=9", &versions), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    versions[8].at = "1990-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(kept("daily=3", &versions), [9, 8, 7, 6]);
}

#[test]
fn a_version_whose_time_does_not_fit_goes_with_the_next_one_whose_time_does() {
    let mut versions = days(9);
    versions[4].at = "1990-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(kept("daily=4", &versions), [9, 8, 7, 6, 5]);
    assert_eq!(kept("daily=3", &versions), [9, 8, 7]);
    assert_eq!(reasons("daily=4", &versions, 5), ["its time does not fit its number, stays with version 6"]);
    assert_eq!(kept("last=3", &versions), [9, 8, 7], "without a rule on times nothing stays for its time");
    assert_eq!(kept("within=3d", &versions), [9, 8, 7, 6, 5]);
}

#[test]
fn a_version_from_the_future_stays_and_takes_no_place() {
    let mut versions = days(9);
    versions[8].at = "2030-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(kept("daily=3", &versions), [9, 8, 7, 6]);
    assert_eq!(
        reasons("daily=3", &versions, 9),
        ["newest version is always kept", "newest complete version is always kept", "its time has not come yet"]
    );
    assert_eq!(kept("within=2d", &versions), [9, 8, 7, 6]);
}

#[test]
fn a_clock_that_steps_back_lets_nothing_go() {
    let versions = days(9);
    let back = "2026-11-05T00:00:00Z".parse().unwrap();
    assert_eq!(kept_at("daily=3", &versions, back), [9, 8, 7, 6, 5, 4, 3, 2]);
    assert_eq!(kept_at("last=2", &versions, "1990-01-01T00:00:00Z".parse().unwrap()).len(), 9);
}

#[test]
fn versions_of_a_clock_that_was_ahead_are_no_hindrance_once_there_are_more_of_the_right_time() {
    let mut versions = days(9);
    versions[1].at = "2030-01-01T00:00:00Z".parse().unwrap();
    versions[2].at = "2030-01-02T00:00:00Z".parse().unwrap();
    assert_eq!(kept("daily=3", &versions), [9, 8, 7]);
    assert_eq!(kept_at("daily=3", &versions, "2031-01-01T00:00:00Z".parse().unwrap()), [9, 8, 7]);
}
