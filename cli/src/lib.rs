//! What both programs share.
