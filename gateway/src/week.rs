//! Days of the week and minutes of the day, as people write them.

/// Minutes of a day.
pub const DAY: u16 = 24 * 60;

/// Names of the days, from Monday on.
pub const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Days and ranges of days with commas between them, in upper or lower case, from Monday on: `mon-fri`, `sat,sun`. `fri-mon` goes round
/// the end of the week.
///
/// # Errors
/// The part that is neither.
pub fn days(text: &str) -> Result<[bool; 7], &str> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let day = |name: &str| NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)).ok_or(part);
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|n| days[(first + n) % 7] = true);
    }
    Ok(days)
}

/// Minutes since midnight of `HH:MM`, from `00:00` to `24:00`; `None` for anything else.
pub fn minute(text: &str) -> Option<u16> {
    let number = |text: &str| {
        let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_two.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    Some(hours * 60 + minutes).filter(|minute| minutes < 60 && *minute <= DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_minutes_are_read_and_what_is_neither_is_named() {
        assert_eq!(days("Mon-fri"), Ok([true, true, true, true, true, false, false]));
        assert_eq!(days("fri-MON,wed"), Ok([true, false, true, false, true, true, true]));
        for (text, part) in
            [("", ""), ("day", "day"), ("mon,", ""), ("mon-", "mon-"), ("sat,mon-tue-wed", "mon-tue-wed")]
        {
            assert_eq!(days(text), Err(part), "{text}");
        }
        assert_eq!([minute("00:00"), minute("08:30"), minute("24:00")], [Some(0), Some(510), Some(1440)]);
        for text in ["", "8:00", "08:60", "24:01", "+8:00", "08:00:00", "08"] {
            assert_eq!(minute(text), None, "{text}");
        }
    }
}
