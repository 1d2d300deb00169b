//! What a message may ask for: rows, neurons and codes that exist on this chip.

use super::Verdict;
use crate::core::{Core, Fault, Unteachable, Write};
use spikeloop_hal::PROTOCOL_VERSION;
use spikeloop_hal::wire::{
    Frame, Kind, Message, ParameterSpan, RecordingHead, RefusalCode, WeightRequest, WeightSpan,
    top_code,
};

/// The version of a frame that this server does not speak: of the frame itself, or of the hello in
/// it. Hello has the same form in every version.
pub(super) fn foreign(version: u8, frame: &Frame<'_>) -> Option<u32> {
    let hello = match Message::decode(frame.header.kind, frame.body) {
        Ok(Message::Hello(hello)) => Some(hello.protocol),
        _ => None,
    };
    let spoken = hello.unwrap_or(u16::from(version));
    (spoken != PROTOCOL_VERSION || u16::from(version) != PROTOCOL_VERSION)
        .then_some(u32::from(spoken))
}

pub(super) fn out_of_range(got: usize, size: usize) -> Verdict {
    Verdict::Refuse(RefusalCode::OutOfRange, got as u32, size.saturating_sub(1) as u32)
}

pub(super) fn within(end: usize, size: usize) -> Result<(), Verdict> {
    if end <= size { Ok(()) } else { Err(out_of_range(end - 1, size)) }
}

pub(super) fn each<S>(
    spans: impl Iterator<Item = S>,
    mut apply: impl FnMut(S) -> Result<(), Verdict>,
) -> Result<(), Verdict> {
    spans.into_iter().try_for_each(&mut apply)
}

pub(super) fn write<C: Core>(core: &mut C, write: Write<'_>) -> Result<(), Verdict> {
    core.write(write).map_err(|Fault(number)| Verdict::Refuse(RefusalCode::Fault, number, 0))
}

pub(super) fn weights<C: Core>(core: &mut C, span: &WeightSpan<'_>) -> Result<(), Verdict> {
    let caps = core.capabilities();
    within(usize::from(span.row) + 1, caps.sources())?;
    within(usize::from(span.first) + span.len(), usize::from(caps.neurons))?;
    let (low, high) = (caps.weight_min, caps.weight_max);
    if let Some(code) = span.codes().find(|code| *code < low || *code > high) {
        let nearest = code.clamp(low, high);
        return Err(Verdict::Refuse(RefusalCode::OutOfRange, code as u32, nearest as u32));
    }
    write(core, Write::Weights(*span))
}

pub(super) fn parameters<C: Core>(core: &mut C, span: &ParameterSpan<'_>) -> Result<(), Verdict> {
    let caps = core.capabilities();
    within(usize::from(span.first) + span.len(), usize::from(caps.neurons))?;
    let Some(spec) = caps.parameter(span.parameter) else {
        return Err(Verdict::Refuse(RefusalCode::OutOfRange, span.parameter as u32, 0));
    };
    let (low, high) = (spec.code_min, spec.code_max);
    if let Some(code) = span.codes().find(|code| *code < low || *code > high) {
        let nearest = u32::from(code.clamp(low, high));
        return Err(Verdict::Refuse(RefusalCode::OutOfRange, u32::from(code), nearest));
    }
    write(core, Write::Parameter(*span))
}

/// Whether weights can be read back as asked for.
pub(super) fn readable<C: Core>(core: &C, request: WeightRequest) -> Result<(), Verdict> {
    let WeightRequest { row, first, count } = request;
    let caps = core.capabilities();
    within(usize::from(row) + 1, caps.sources())?;
    within(usize::from(first) + usize::from(count), usize::from(caps.neurons))?;
    if count > WeightRequest::MOST {
        let (got, limit) = (u32::from(count), u32::from(WeightRequest::MOST));
        return Err(Verdict::Refuse(RefusalCode::OutOfRange, got, limit));
    }
    if count > 0 && core.weight(row, first).is_none() {
        return Err(unteachable(Unteachable::Never, Kind::ReadWeights));
    }
    Ok(())
}

/// What the host is told about a core that does not learn.
pub(super) fn unteachable(why: Unteachable, kind: Kind) -> Verdict {
    match why {
        Unteachable::Never => Verdict::Refuse(RefusalCode::UnknownMessage, kind as u32, 0),
        Unteachable::Rule(number) => {
            Verdict::Refuse(RefusalCode::UnknownMessage, kind as u32, u32::from(number) + 1)
        }
        Unteachable::Beyond { needed, limit } => {
            Verdict::Refuse(RefusalCode::BeyondBuffers, needed, limit)
        }
        Unteachable::Range { got, limit } => Verdict::Refuse(RefusalCode::OutOfRange, got, limit),
        Unteachable::Place { got, last } => Verdict::Refuse(RefusalCode::OutOfPlace, got, last),
        Unteachable::Malformed(what) => Verdict::Refuse(RefusalCode::Malformed, what, 0),
        Unteachable::Failed(Fault(number)) => Verdict::Refuse(RefusalCode::Fault, number, 0),
    }
}

pub(super) fn recording<C: Core>(core: &mut C, head: RecordingHead) -> Result<(), Verdict> {
    if let Some(code) = head.reference {
        let top = core.capabilities().adc.filter(|adc| adc.reference).map(|adc| top_code(adc.bits));
        if top.is_none_or(|top| code > top) {
            let (got, limit) = (u32::from(code), u32::from(top.unwrap_or(0)));
            return Err(Verdict::Refuse(RefusalCode::OutOfRange, got, limit));
        }
    }
    if let Some(code) = head.floor {
        if let Some(reference) = head.reference {
            // One of them at a time: the nearest that exists is none.
            let (got, limit) = (u32::from(code), u32::from(reference));
            return Err(Verdict::Refuse(RefusalCode::OutOfRange, got, limit));
        }
        let top = core.capabilities().adc.map(|adc| top_code(adc.bits));
        if top.is_none_or(|top| code > top) {
            let (got, limit) = (u32::from(code), u32::from(top.unwrap_or(0)));
            return Err(Verdict::Refuse(RefusalCode::OutOfRange, got, limit));
        }
    }
    write(core, Write::Recording(head))
}
