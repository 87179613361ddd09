//! Numbers of all types as bytes that order by exact value.
//!
//! A number is a sign, a decimal exponent and decimal digits: `0.d1d2d3… × 10^e` with `d1` not 0. Every double, whole
//! number and decimal128 has such a form that is exact; a double may have 767 digits. NaN is below all numbers, -0 is
//! 0.

use crate::raw::kind;

/// What a number begins with; the order of the classes.
mod class {
    pub(super) const NAN: u8 = 1;
    pub(super) const MINUS_INFINITY: u8 = 2;
    pub(super) const NEGATIVE: u8 = 3;
    pub(super) const ZERO: u8 = 4;
    pub(super) const POSITIVE: u8 = 5;
    pub(super) const INFINITY: u8 = 6;
}

/// Added to the exponent so that it is never negative.
const BIAS: i32 = 0x8000;

/// Base of the digits of a long number.
const BASE: u64 = 1_000_000_000;

/// Greatest coefficient of a decimal128: 34 digits. What is above it is 0.
const GREATEST: u128 = 10_u128.pow(34) - 1;

/// Appends a number; `value` is as BSON has it.
pub(super) fn encode(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    match kind {
        kind::INT32 => value.try_into().map(|bytes| whole(i32::from_le_bytes(bytes).into(), out)).unwrap_or_default(),
        kind::INT64 => value.try_into().map(|bytes| whole(i64::from_le_bytes(bytes), out)).unwrap_or_default(),
        kind::DOUBLE => value.try_into().map(|bytes| double(f64::from_le_bytes(bytes), out)).unwrap_or_default(),
        _ => value.try_into().map(|bytes| decimal(u128::from_le_bytes(bytes), out)).unwrap_or_default(),
    }
}

fn whole(number: i64, out: &mut Vec<u8>) {
    digits(number < 0, number.unsigned_abs().to_string().as_bytes(), 0, out);
}

fn double(number: f64, out: &mut Vec<u8>) {
    if number.is_nan() {
        return out.push(class::NAN);
    }
    if number.is_infinite() {
        return out.push(if number < 0.0 { class::MINUS_INFINITY } else { class::INFINITY });
    }
    let (bits, negative) = (number.to_bits(), number.is_sign_negative());
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7FF) as i32);
    let (mantissa, exponent) = if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    // m × 2^-k = m × 5^k × 10^-k: exact in decimal.
    let (factor, times) = if exponent < 0 { (5, exponent.unsigned_abs()) } else { (2, exponent.unsigned_abs()) };
    let mut long = Long::of(mantissa);
    (0..times).for_each(|_| long.multiply(factor));
    digits(negative, long.digits().as_bytes(), exponent.min(0), out);
}

fn decimal(bits: u128, out: &mut Vec<u8>) {
    let negative = bits >> 127 == 1;
    match bits >> 122 & 0x1F {
        0x1F => return out.push(class::NAN),
        0x1E => return out.push(if negative { class::MINUS_INFINITY } else { class::INFINITY }),
        _ => {}
    }
    // The other form of a coefficient begins with 2^113, which is more than 34 digits have: 0.
    let coefficient = if bits >> 125 & 3 == 3 { 0 } else { bits & ((1 << 113) - 1) };
    let coefficient = if coefficient > GREATEST { 0 } else { coefficient };
    let exponent = (bits >> 113 & 0x3FFF) as i32 - 6176;
    digits(negative, coefficient.to_string().as_bytes(), exponent, out);
}

/// Appends `digits × 10^exponent`, digits in ASCII.
fn digits(negative: bool, digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let digits = &digits[digits.iter().take_while(|digit| **digit == b'0').count()..];
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    if digits.is_empty() {
        return out.push(class::ZERO);
    }
    let from = out.len() + 1;
    out.push(if negative { class::NEGATIVE } else { class::POSITIVE });
    let exponent = exponent + digits.len() as i32 + BIAS;
    out.extend_from_slice(&(exponent as u16).to_be_bytes());
    // Two digits a byte, from 1 to 100; 0 ends.
    let pair = |pair: &[u8]| (pair[0] - b'0') * 10 + pair.get(1).map_or(0, |digit| digit - b'0') + 1;
    out.extend(digits[..digits.len() - zeros].chunks(2).map(pair));
    out.push(0);
    if negative {
        out[from..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// A whole number of any length, lowest digits first.
struct Long(Vec<u64>);

impl Long {
    fn of(number: u64) -> Self {
        let mut long = Self(vec![number % BASE, number / BASE % BASE, number / BASE / BASE]);
        long.trim();
        long
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn multiply(&mut self, factor: u64) {
        let mut carry = 0;
        for digit in &mut self.0 {
            let product = *digit * factor + carry;
            (*digit, carry) = (product % BASE, product / BASE);
        }
        if carry > 0 {
            self.0.push(carry);
        }
    }

    /// In ASCII; empty for 0.
    fn digits(&self) -> String {
        let mut high = self.0.iter().rev();
        let first = high.next().map(u64::to_string).unwrap_or_default();
        high.fold(first, |text, digit| text + &format!("{digit:09}"))
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    fn of(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(kind, value, &mut out);
        out
    }

    fn int(number: i64) -> Vec<u8> {
        of(kind::INT64, &number.to_le_bytes())
    }

    fn float(number: f64) -> Vec<u8> {
        of(kind::DOUBLE, &number.to_le_bytes())
    }

    /// A decimal128 of this coefficient and exponent.
    fn dec(coefficient: i128, exponent: i32) -> Vec<u8> {
        let sign = u128::from(coefficient < 0) << 127;
        let bits = sign | ((exponent + 6176) as u128) << 113 | coefficient.unsigned_abs();
        of(kind::DECIMAL128, &bits.to_le_bytes())
    }

    /// A double and a whole number by exact value.
    fn exactly(float: f64, int: i64) -> Ordering {
        if float >= 2_f64.powi(63) {
            return Ordering::Greater;
        }
        if float < -(2_f64.powi(63)) {
            return Ordering::Less;
        }
        let floor = float.floor();
        (floor as i128).cmp(&i128::from(int)).then(if float > floor { Ordering::Greater } else { Ordering::Equal })
    }

    #[test]
    fn numbers_that_are_equal_are_equal_whatever_their_type() {
        assert_eq!(int(1), float(1.0));
        assert_eq!(int(1), of(kind::INT32, &1_i32.to_le_bytes()));
        assert_eq!(int(-1200), dec(-12, 2));
        assert_eq!(float(0.5), dec(500, -3));
        assert_eq!((float(-0.0), dec(0, 7)), (int(0), int(0)));
        assert_eq!(float(9_007_199_254_740_992.0), int(9_007_199_254_740_992));
        assert_ne!(float(0.1), dec(1, -1), "the double is a little more");
        assert!(float(0.1) > dec(1, -1));
        let beyond = (3_u128 << 125 | 1).to_le_bytes();
        assert_eq!(of(kind::DECIMAL128, &beyond), int(0), "a coefficient of more than 34 digits");
    }

    #[test]
    fn the_order_over_all_types() {
        let infinity = |sign: u128| of(kind::DECIMAL128, &(sign << 127 | 0x1E << 122).to_le_bytes());
        let ascending = [
            float(f64::NAN),
            float(f64::NEG_INFINITY),
            dec(-(10_i128.pow(34) - 1), 6111),
            float(f64::MIN),
            int(i64::MIN),
            int(-2),
            float(-1.5),
            dec(-149, -2),
            float(-f64::from_bits(1)),
            dec(-1, -6176),
            int(0),
            dec(1, -6176),
            float(f64::from_bits(1)),
            float(f64::MIN_POSITIVE),
            dec(9, -1),
            int(1),
            int(10),
            int(11),
            int(i64::MAX - 1),
            int(i64::MAX),
            float(9_223_372_036_854_775_808.0),
            float(f64::MAX),
            dec(1, 6111),
            float(f64::INFINITY),
        ];
        assert!(ascending.is_sorted_by(|a, b| a < b));
        assert_eq!(float(f64::INFINITY), infinity(0));
        assert_eq!(float(f64::NEG_INFINITY), infinity(1));
        assert_eq!(float(f64::NAN), of(kind::DECIMAL128, &(0x1F_u128 << 122).to_le_bytes()));
    }

    proptest! {
        #[test]
        fn whole_numbers_order(a: i64, b: i64) {
            prop_assert_eq!(int(a).cmp(&int(b)), a.cmp(&b));
        }

        #[test]
        fn doubles_order(a in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL, b in proptest::num::f64::NORMAL) {
            prop_assert_eq!(Some(float(a).cmp(&float(b))), a.partial_cmp(&b));
        }

        #[test]
        fn near_doubles_order(a in -1e18_f64..1e18, steps in 0_u64..3) {
            let b = f64::from_bits(a.to_bits() + steps);
            prop_assert_eq!(Some(float(a).cmp(&float(b))), a.partial_cmp(&b));
        }

        #[test]
        fn doubles_and_whole_numbers_order_by_exact_value(a in -1e19_f64..1e19, near in -1025_i64..1025) {
            let b = (a as i64).saturating_add(near);
            prop_assert_eq!(float(a).cmp(&int(b)), exactly(a, b));
        }

        #[test]
        fn decimals_and_whole_numbers_order(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000, places in 0_u32..5) {
            let scaled = i128::from(b) * 10_i128.pow(places);
            prop_assert_eq!(dec(a.into(), -(places as i32)).cmp(&int(b)), i128::from(a).cmp(&scaled));
        }
    }
}
