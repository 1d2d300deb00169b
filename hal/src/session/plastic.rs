//! Learning in the device, from the host's side.

use super::Session;
use super::exchange::Order;
use crate::chip::Plastic;
use crate::error::Error;
use crate::event::SpikeEvent;
use crate::wire::{Kind, Message, PlasticityRule, SAFE_BODY, WeightRequest, address_bits};

impl Plastic for Session {
    fn set_rule(&mut self, rule: &PlasticityRule<'_>) -> Result<(), Error> {
        self.look()?;
        let needed = rule.encoded_len();
        // It comes once, and cannot be divided: the device's own limit counts.
        let limit = usize::from(self.caps.buffers.frame_body).min(SAFE_BODY);
        if needed > limit {
            return Err(Error::Rule { needed, limit });
        }
        self.encoder.long_message(&Message::Plasticity(*rule), needed);
        let parcel = self.encoder.take();
        self.send(Order { parcel, run: None, ping: false })?;
        self.error_bits = address_bits(u16::try_from(rule.addresses()).unwrap_or(u16::MAX));
        Ok(())
    }

    fn learn(&mut self, trial: u64, update: bool, events: &[SpikeEvent]) -> Result<(), Error> {
        self.look()?;
        // An address that the rule does not have takes more bits, so that the device sees it and refuses.
        let largest = events.iter().map(|event| event.id).max().unwrap_or(0);
        let bits = self.error_bits.max(address_bits(largest.saturating_add(1)));
        self.encoder.errors(trial, update, events, bits);
        let parcel = self.encoder.take();
        self.send(Order { parcel, run: None, ping: false })
    }

    fn read_weights(&mut self, row: u16, first: u16, count: u16) -> Result<Vec<i8>, Error> {
        self.look()?;
        let mut codes = Vec::with_capacity(usize::from(count));
        while codes.len() < usize::from(count) {
            let done = codes.len() as u16;
            let part = (count - done).min(WeightRequest::MOST);
            let request = WeightRequest { row, first: first + done, count: part };
            self.encoder.message(&Message::ReadWeights(request));
            let parcel = self.encoder.take();
            self.weights = None;
            self.send(Order { parcel, run: None, ping: true })?;
            let came = loop {
                if let Some(codes) = self.weights.take() {
                    break codes;
                }
                self.wait()?;
            };
            if came.len() != usize::from(part) {
                let kind = Kind::LearnedWeights as u8;
                return Err(Error::Malformed { kind, why: crate::wire::Malformed::Truncated });
            }
            codes.extend(came);
        }
        // What the device holds is what the next difference is taken from.
        let row = usize::from(row);
        if row < self.device.sources() {
            let held = self.device.row_mut(row).iter_mut().skip(usize::from(first));
            held.zip(&codes).for_each(|(held, code)| *held = *code);
        }
        Ok(codes)
    }
}
