use std::io::Write;
use crate::exit::Outcome;
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {}
pub(crate) fn run(_: &DemoArgs, _: &mut impl Write) -> anyhow::Result<Outcome> { Ok(Outcome::Done) }
