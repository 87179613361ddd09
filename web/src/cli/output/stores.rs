//! What a store brought with it, in words.

use crate::api::{TakenOver, TakenPolicy, TakenSet};

/// What was found in a store, what of it waits for confirmation, and the command for that.
pub(super) fn taken_over(found: &TakenOver) -> String {
    let TakenOver { sources, policies, sets } = found;
    if sources.is_empty() && policies.is_empty() && sets.is_empty() {
        return "taken over  nothing: it held no sources, policies or versions\n".to_owned();
    }
    let sources = sources.iter().map(|name| {
        let with = policies.iter().filter(|policy| policy.source == *name).map(|policy| policy.policy.as_str());
        let with = with.collect::<Vec<_>>();
        let with = if with.is_empty() { String::new() } else { format!(", with {}", policies_named(&with)) };
        format!("taken over  source {name}{with}; not used before: tidemark source confirm {name}\n")
    });
    let alone = policies.iter().filter(|policy| !found.sources.contains(&policy.source)).map(policy);
    let sets = sets.iter().map(|set| format!("taken over  {}.{}: {}\n", set.source, set.set, versions(set)));
    sources.chain(alone).chain(sets).collect()
}

fn policies_named(names: &[&str]) -> String {
    match names {
        [one] => format!("policy {one}"),
        several => format!("policies {}", several.join(", ")),
    }
}

fn policy(TakenPolicy { policy, source }: &TakenPolicy) -> String {
    format!("taken over  policy {policy} of source {source}; not used before: tidemark policy confirm {policy}\n")
}

fn versions(set: &TakenSet) -> String {
    match (set.versions, set.numbers) {
        (Some(1), _) => "1 version".to_owned(),
        (Some(versions), _) => format!("{versions} versions"),
        (None, numbers) => format!("up to {numbers} versions"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_named_with_the_command_that_ends_it() {
        assert_eq!(
            taken_over(&TakenOver::default()),
            "taken over  nothing: it held no sources, policies or versions\n"
        );
        let policy = |policy: &str, source: &str| TakenPolicy { policy: policy.to_owned(), source: source.to_owned() };
        let set = |set: &str, numbers, versions| TakenSet {
            source: "prod".to_owned(),
            set: set.to_owned(),
            numbers,
            versions,
        };
        let found = TakenOver {
            sources: vec!["prod".to_owned()],
            policies: vec![policy("daily", "prod"), policy("hourly", "prod"), policy("own", "test")],
            sets: vec![set("daily", 7, Some(1)), set("hourly", 9000, None)],
        };
        let expected = "taken over  source prod, with policies daily, hourly; not used before: tidemark source confirm prod\n\
                        taken over  policy own of source test; not used before: tidemark policy confirm own\n\
                        taken over  prod.daily: 1 version\n\
                        taken over  prod.hourly: up to 9000 versions\n";
        assert_eq!(taken_over(&found), expected);
    }
}
