//! The simulated machine keeps and loses what it says.
