//! What both programs share.

pub mod fsck;
