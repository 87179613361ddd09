//! A checkpoint is read as it was written, by this build and by the ones before it.

use serde_json::json;
use tidemark_catalog::stored::StoredRef;
use tidemark_gateway::Stored;
use tidemark_listener_core::restorer::{Action, PlannedObject};

use super::*;

fn plan(rows: u64) -> RestorePlan {
    let object = PlannedObject {
        object: "ks/t".parse().unwrap(),
        target: "to/t".parse().unwrap(),
        entry: StoredRef::new(&"e".into(), Stored::of(b"e")),
        action: Action::Load,
        rows,
        stored_bytes: 1,
    };
    RestorePlan {
        objects: vec![object],
        schema: vec![],
        checks: vec![],
        rows,
        stored_bytes: 1,
        write_level: Some("all".into()),
        destination: "d".into(),
    }
}

#[test]
fn a_checkpoint_comes_back_as_it_was_saved() {
    let mut checkpoint = Checkpoint::start(&plan(1));
    checkpoint.mark = Mark { segment: 1, group: 2, records: 3 };
    assert_eq!(Checkpoint::parse(&checkpoint.to_value(), &plan(1)).unwrap(), checkpoint);
}

/// As it was saved before the checkpoint was shared by all sources.
#[test]
fn a_restore_goes_on_from_what_earlier_builds_saved() {
    let saved = json!({
        "format": 1,
        "plan": digest(&plan(1)),
        "object": 0,
        "stage": "verify",
        "mark": {"segment": 1, "partition": 2, "rows": 3},
        "reach": {"segment": 1, "partition": 5002, "rows": 0},
        "counts": {"written": 9, "expired": 1, "verified": 2, "newer": 3, "hidden": 4, "refused": 5},
        "slowest_write_seconds": 6,
        "started_seconds": 7,
        "warnings": ["w"],
        "undo": {"place": 1},
        "undone": RestoreReport::default(),
        "objects_refused": 1,
        "not_made": [0],
        "refused": [{"object": "to/t", "key": "k", "code": "TM-REST-0302", "reason": "r"}],
        "refused_by_destination": true,
    });
    let checkpoint = Checkpoint::parse(&saved, &plan(1)).unwrap();
    assert_eq!(checkpoint.mark, Mark { segment: 1, group: 2, records: 3 });
    assert_eq!((checkpoint.stage, checkpoint.counts.hidden, checkpoint.started_seconds), (Stage::Verify, 4, 7));
    assert_eq!(checkpoint.to_value(), saved);
    let mut older = saved.clone();
    older.as_object_mut().unwrap().remove("not_made");
    assert!(Checkpoint::parse(&older, &plan(1)).unwrap().not_made.is_empty());
    let mut newer = saved;
    newer["unheard"] = json!(1);
    assert_eq!(Checkpoint::parse(&newer, &plan(1)).unwrap_err().code, "TM-REST-0501");
}

#[test]
fn an_object_that_was_begun_must_still_be_there() {
    let refused = |change: fn(&mut Checkpoint)| {
        let mut checkpoint = Checkpoint::start(&plan(1));
        change(&mut checkpoint);
        let saved = checkpoint.to_value();
        assert_eq!(Checkpoint::resume(&saved, &plan(1), |_| true).unwrap(), checkpoint);
        Checkpoint::resume(&saved, &plan(1), |_| false).err().map(|e| (e.code.into_owned(), e.message))
    };
    let dropped = Some(("TM-REST-0501".to_owned(), "to/t was dropped since this restore filled it".to_owned()));
    assert_eq!(refused(|_| {}), None);
    assert_eq!(refused(|c| c.mark.group = 1), dropped);
    assert_eq!(refused(|c| c.reach.group = 1), dropped);
    assert_eq!(refused(|c| c.stage = Stage::Verify), dropped);
    assert_eq!(refused(|c| c.undo = Some(json!({}))), dropped);
    assert_eq!(refused(|c| c.object = 1), dropped);
    assert_eq!(refused(|c| (c.object, c.not_made) = (1, BTreeSet::from([0]))), None);
}

#[test]
fn a_checkpoint_of_another_plan_is_refused() {
    let saved = Checkpoint::start(&plan(1)).to_value();
    assert_eq!(Checkpoint::parse(&saved, &plan(2)).unwrap_err().code, "TM-REST-0501");
    assert_eq!(Checkpoint::parse(&Value::Null, &plan(2)).unwrap_err().code, "TM-REST-0501");
}

#[test]
fn another_stage_begins_at_the_start_of_its_object() {
    let mut checkpoint = Checkpoint::start(&plan(1));
    (checkpoint.mark.group, checkpoint.reach.group) = (3, 5);
    checkpoint.turn(Stage::Verify, 0);
    assert_eq!((checkpoint.object, checkpoint.stage), (0, Stage::Verify));
    assert_eq!((checkpoint.mark, checkpoint.reach), (Mark::default(), Mark::default()));
    checkpoint.turn(Stage::Load, 1);
    assert_eq!((checkpoint.object, checkpoint.stage), (1, Stage::Load));
}
