//! The password of a session: a pure function of its id, so that any server can check it
//! (`ZooKeeperServer.generatePasswd`). It is the reference's function bit for bit, so that sessions survive a
//! move between the two; it keeps honest clients apart and is no secret.

use crate::types::SessionId;
use subtle::ConstantTimeEq as _;

const SEED: i64 = 0xB341_5C00;
const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const MASK: u64 = (1 << 48) - 1;

/// The password of this session.
#[must_use]
pub fn of(session: SessionId) -> [u8; 16] {
    let mut state = ((session.0 ^ SEED).cast_unsigned() ^ MULTIPLIER) & MASK;
    let mut password = [0; 16];
    for word in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        let low = u32::try_from((state >> 16) & 0xffff_ffff).unwrap_or_default();
        word.copy_from_slice(&low.to_le_bytes());
    }
    password
}

/// Is this the session's password? Takes the same time for every wrong one.
#[must_use]
pub fn fits(session: SessionId, offered: Option<&[u8]>) -> bool {
    session != SessionId::NONE && offered.is_some_and(|p| p.ct_eq(&of(session)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sheet_s_vectors() {
        for (id, want) in [
            (0x0100_0000_0000_0000, 0xf22a_cd4a_97e6_9d6d_20a4_9bb6_38ea_db38_u128),
            (0x0100_0abc_def1_0000, 0x7510_7ecf_5e51_e709_dbe4_4039_d77b_c427),
            (0x0200_0123_4567_0003, 0x38c3_9ad2_dc7b_5a75_ace0_bc1e_5291_5f48),
        ] {
            assert_eq!(of(SessionId(id)), want.to_be_bytes());
            assert!(fits(SessionId(id), Some(&want.to_be_bytes())));
        }
        assert!(!fits(SessionId(1), None));
        assert!(!fits(SessionId(1), Some(&[0; 15])));
        assert!(!fits(SessionId::NONE, Some(&of(SessionId::NONE))));
    }
}
