//! Numeric order of floats, varints and decimals of any length.

use std::cmp::Ordering;

/// Orders as Java's `Float.compare`: −0 before 0, all NaN equal and last.
pub(super) fn float_key(bytes: [u8; 4]) -> i32 {
    let value = f32::from_be_bytes(bytes);
    let bits = if value.is_nan() { f32::NAN.abs().to_bits() } else { value.to_bits() } as i32;
    // Negative floats order backwards by their bits.
    bits ^ ((bits >> 31) & i32::MAX)
}

/// Orders as Java's `Double.compare`.
pub(super) fn double_key(bytes: [u8; 8]) -> i64 {
    let value = f64::from_be_bytes(bytes);
    let bits = if value.is_nan() { f64::NAN.abs().to_bits() } else { value.to_bits() } as i64;
    bits ^ ((bits >> 63) & i64::MAX)
}

/// Orders two's complement integers of any length, neither empty.
pub(super) fn compare_varints(a: &[u8], b: &[u8]) -> Ordering {
    let (negative, other_negative) = (is_negative(a), is_negative(b));
    if negative != other_negative {
        return other_negative.cmp(&negative);
    }
    let (a, b) = (significant(a), significant(b));
    let by_length = if negative { b.len().cmp(&a.len()) } else { a.len().cmp(&b.len()) };
    by_length.then_with(|| a.cmp(b))
}

fn is_negative(value: &[u8]) -> bool {
    value.first().is_some_and(|first| first & 0x80 != 0)
}

/// Drops leading bytes that only repeat the sign; zero and −1 become empty.
fn significant(value: &[u8]) -> &[u8] {
    let padding = if is_negative(value) { 0xff } else { 0 };
    let leading = value.iter().take_while(|byte| **byte == padding).count();
    &value[leading..]
}

/// Orders decimals (i32 scale, unscaled varint) by value: 1.0 equals 1.00.
pub(super) fn compare_decimals(a: &[u8], b: &[u8]) -> Ordering {
    match (split_decimal(a), split_decimal(b)) {
        (Some(x), Some(y)) if x.0 == y.0 => compare_varints(x.1, y.1),
        (Some(x), Some(y)) => compare_scaled(x, y),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

fn split_decimal(value: &[u8]) -> Option<(i32, &[u8])> {
    let (scale, unscaled) = value.split_first_chunk::<4>()?;
    (!unscaled.is_empty()).then(|| (i32::from_be_bytes(*scale), unscaled))
}

fn compare_scaled((scale_a, a): (i32, &[u8]), (scale_b, b): (i32, &[u8])) -> Ordering {
    let (sign_a, sign_b) = (signum(a), signum(b));
    if sign_a != sign_b || sign_a == 0 {
        return sign_a.cmp(&sign_b);
    }
    let magnitude = compare_magnitudes(&digits(a), scale_a, &digits(b), scale_b);
    if sign_a < 0 { magnitude.reverse() } else { magnitude }
}

fn signum(value: &[u8]) -> i8 {
    if is_negative(value) { -1 } else { i8::from(!significant(value).is_empty()) }
}

/// Compares 0.d₁d₂… × 10^exponent without building powers of ten: scales come from files and reach ±2³¹.
fn compare_magnitudes(a: &[u8], scale_a: i32, b: &[u8], scale_b: i32) -> Ordering {
    let exponent = |digits: &[u8], scale: i32| digits.len() as i64 - i64::from(scale);
    let by_exponent = exponent(a, scale_a).cmp(&exponent(b, scale_b));
    by_exponent.then_with(|| without_trailing_zeros(a).cmp(without_trailing_zeros(b)))
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    let end = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
    &digits[..end]
}

/// Decimal digits of the magnitude, most significant first, without leading zeros.
fn digits(value: &[u8]) -> Vec<u8> {
    let mut limbs = magnitude_limbs(value);
    let mut reversed = Vec::with_capacity(value.len() * 5 / 2 + 9);
    while !limbs.is_empty() {
        let mut group = divide_by_billion(&mut limbs);
        for _ in 0..9 {
            reversed.push((group % 10) as u8);
            group /= 10;
        }
    }
    let leading = reversed.iter().rev().take_while(|digit| **digit == 0).count();
    reversed.truncate(reversed.len() - leading);
    reversed.reverse();
    reversed
}

/// The absolute value as 32-bit limbs, most significant first, no leading zero limb.
fn magnitude_limbs(value: &[u8]) -> Vec<u32> {
    let sign = if is_negative(value) { 0xff } else { 0 };
    let mut limbs: Vec<u32> = value.rchunks(4).rev().map(|chunk| limb(chunk, sign)).collect();
    if sign != 0 {
        negate(&mut limbs);
    }
    let leading = limbs.iter().take_while(|limb| **limb == 0).count();
    limbs.drain(..leading);
    limbs
}

fn limb(chunk: &[u8], sign: u8) -> u32 {
    let mut bytes = [sign; 4];
    bytes[4 - chunk.len()..].copy_from_slice(chunk);
    u32::from_be_bytes(bytes)
}

/// Two's complement negation. The most negative value keeps its bits, which read unsigned are its magnitude.
fn negate(limbs: &mut [u32]) {
    let mut carry = true;
    for limb in limbs.iter_mut().rev() {
        (*limb, carry) = (!*limb).overflowing_add(u32::from(carry));
    }
}

/// Divides in place by 10⁹ and returns the remainder; drops limbs that became zero.
fn divide_by_billion(limbs: &mut Vec<u32>) -> u32 {
    let mut remainder = 0_u64;
    for limb in limbs.iter_mut() {
        let dividend = (remainder << 32) | u64::from(*limb);
        *limb = (dividend / 1_000_000_000) as u32;
        remainder = dividend % 1_000_000_000;
    }
    let leading = limbs.iter().take_while(|limb| **limb == 0).count();
    limbs.drain(..leading);
    remainder as u32
}

#[cfg(test)]
mod tests {
    use super::super::compare_values;
    use super::super::tests::assert_ascending;
    use super::*;
    use crate::types::CqlType;
    use proptest::prelude::*;

    fn decimal(scale: i32, unscaled: i128) -> Vec<u8> {
        [&scale.to_be_bytes()[..], &unscaled.to_be_bytes()].concat()
    }

    #[test]
    fn varints_compare_by_value_at_any_length() {
        let values: [&[u8]; 9] =
            [&[], &[0x80, 0, 0], &[0x80, 0], &[0xff, 0x7f], &[0x80], &[0xff], &[0], &[0x7f], &[0, 0x80]];
        assert_ascending(&CqlType::VarInt, &values.map(<[u8]>::to_vec));
        assert_eq!(compare_values(&CqlType::VarInt, &[0xff, 0xff, 0x80], &[0x80]), Ordering::Equal);
    }

    #[test]
    fn decimals_compare_by_value_whatever_their_scale() {
        let values = [
            decimal(i32::MIN, -1),
            decimal(0, -11),
            decimal(1, -109),
            decimal(1, 0),
            decimal(i32::MAX, 1),
            decimal(2, 99),
            decimal(0, 1),
            decimal(3, 1001),
            decimal(i32::MIN, 1),
        ];
        assert_ascending(&CqlType::Decimal, &values);
        assert_eq!(compare_values(&CqlType::Decimal, &decimal(1, 10), &decimal(3, 1000)), Ordering::Equal);
        assert_eq!(compare_values(&CqlType::Decimal, &decimal(7, 0), &decimal(-7, 0)), Ordering::Equal);
    }

    #[test]
    fn the_most_negative_value_has_its_magnitude() {
        assert_eq!(digits(&i128::MIN.to_be_bytes()), digits(&[&[0][..], &(1_u128 << 127).to_be_bytes()].concat()));
    }

    proptest! {
        #[test]
        fn varints_order_as_integers(a: i128, b: i128, shift in 0_u32..127) {
            let (a, b) = (a >> shift, b >> (127 - shift));
            prop_assert_eq!(compare_varints(&a.to_be_bytes(), &b.to_be_bytes()), a.cmp(&b));
        }

        #[test]
        fn decimals_order_as_integers_at_a_common_scale(a: i64, b: i64, x in 0_u32..18, y in 0_u32..18) {
            let value = |n: i64, scale: u32| i128::from(n) * 10_i128.pow(18 - scale);
            let order = compare_decimals(&decimal(x as i32, a.into()), &decimal(y as i32, b.into()));
            prop_assert_eq!(order, value(a, x).cmp(&value(b, y)));
        }

        #[test]
        fn digits_are_the_decimal_digits(n: i128) {
            let text: String = digits(&n.to_be_bytes()).iter().map(|d| char::from(b'0' + d)).collect();
            prop_assert_eq!(text, if n == 0 { String::new() } else { n.unsigned_abs().to_string() });
        }
    }
}
