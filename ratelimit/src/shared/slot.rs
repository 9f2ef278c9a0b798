//! Slots of Redis Cluster: all keys with the same hash tag are in one, and a script reaches only one.

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// Failures are counted apart in so many parts of the slots, since one primary can be away, and others not.
pub(super) const PARTS: usize = 16;

/// The part of the slots that a key is in; the first one without a hash tag.
pub(super) fn part(key: &str) -> usize {
    tag(key).map_or(0, |tag| usize::from(slot(tag)) * PARTS / usize::from(SLOTS))
}

/// A hash tag in one of these slots.
pub(super) fn tag_within(first: u16, last: u16) -> String {
    let mut tags = (0_u32..).map(|number| number.to_string());
    tags.find(|tag| (first..=last).contains(&slot(tag))).unwrap_or_default()
}

fn tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    Some(tag)
}

/// The slot of a hash tag: CRC-16/XMODEM.
fn slot(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            let rest = crc << 1;
            if crc & 0x8000 == 0 { rest } else { rest ^ 0x1021 }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use redis::cluster_routing::Slot;

    use super::*;

    #[test]
    fn a_tag_has_the_slot_that_redis_gives_it() {
        for key in ["p:{0f}1", "p:{123456789}", "{}x", "{tag", "tag}", "plain", "a{b}{c}"] {
            if let Some(tag) = tag(key).filter(|tag| !tag.is_empty()) {
                assert_eq!(Slot::new(slot(tag)), Some(Slot::for_key(key)), "{key}");
            }
        }
        assert_eq!(slot("123456789"), 0x31c3 % SLOTS);
    }

    #[test]
    fn each_part_has_the_same_number_of_slots() {
        for (first, last) in [(0, 0), (5_461, 10_922), (16_383, 16_383)] {
            let tag = tag_within(first, last);
            assert!((first..=last).contains(&slot(&tag)), "{tag}");
        }
        assert_eq!(part(&format!("p:{{{}}}x", tag_within(0, 1_023))), 0);
        assert_eq!(part(&format!("p:{{{}}}x", tag_within(1_024, 2_047))), 1);
        assert_eq!(part(&format!("p:{{{}}}x", tag_within(15_360, 16_383))), 15);
        assert_eq!(part("p:0f"), 0);
    }
}
