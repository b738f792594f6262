//! Meters code with fuel and epochs, which stop code that would run for ever.
//!
//! **Fuel** is counted in the store's memory, never in a register. So it is right whatever happens:
//! a trap, or a call of the host or of another module. Code pays in advance, once for each
//! *stretch* that is executed as a whole: from the start of a block, or right after a call, to the
//! next branch or call. The price of a stretch is known only at its end, and is then put into the
//! instruction at its start.
//!
//! Code checks whether there was enough where it can repeat itself (at the start of functions and
//! loops), and where one instruction can do a lot of work.
//!
//! **Epochs** are checked at the start of functions and loops. The engine's epoch is read
//! atomically, because any thread can change it, and so that several reads never become one.

use super::state::{Meter, Stretch, Translator};
use crate::base::trap::Trap;
use crate::codegen::abi::{new_epoch_signature, trap_code};
use crate::instance::builtin::GROWTH_REFUSED;
use crate::instance::layout::{ELEMENT_SIZE, allowance, header};
use crate::module::instruction::{Control, Instruction, Structure};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    AliasRegionData, FuncRef, InstBuilder, InstructionData, MemFlagsData, Opcode, SourceLoc, Value,
};
use std::borrow::Cow;

/// The most elements that are paid for at a time: more than any table has, and too few for the sum
/// to overflow.
const MANY: i64 = 1 << 32;

impl Translator<'_, '_> {
    /// Begins metering, in the first block of the function. `start` is the place of this code in
    /// the module.
    pub(super) fn meter_entry(&mut self, start: SourceLoc) {
        let metering = self.module.metering;
        if !metering.fuel && !metering.epochs {
            return;
        }
        self.b.set_srcloc(start);
        let data = AliasRegionData { user_id: 6, description: Cow::Borrowed("allowance") };
        let region = self.b.func.dfg.alias_regions.insert(data);
        let allowance = self.load_constant(I64, self.vmctx, header::ALLOWANCE, self.regions.host);
        self.meter = Some(Meter { allowance, region, stretch: None, new_epoch: None });
        self.check_epoch();
        // The call itself costs something, so that functions without instructions cannot call each
        // other forever.
        self.begin_stretch(1, true);
    }

    /// Meters a loop, in its header.
    pub(super) fn meter_loop(&mut self) {
        self.check_epoch();
        self.begin_stretch(0, true);
    }

    /// Pays for an instruction, before it is translated.
    pub(super) fn pay_for(&mut self, instruction: &Instruction<'_>) {
        let cost = cost(instruction);
        if !self.module.metering.fuel || !self.reachable || cost == 0 {
            return;
        }
        let here = self.b.current_block();
        let meter = self.meter.as_mut().expect("metered code has a meter from its start");
        let Some(stretch) = meter.stretch.as_mut().filter(|stretch| Some(stretch.block) == here) else {
            return self.begin_stretch(cost, false);
        };
        stretch.cost += cost;
        let Stretch { price, cost, .. } = *stretch;
        self.b.func.dfg.insts[price] = InstructionData::UnaryImm { opcode: Opcode::Iconst, imm: cost.into() };
    }

    /// Ends a stretch, after a call. What comes next is paid for when it is reached, so that the
    /// callee sees the fuel of what was executed.
    pub(super) fn end_stretch(&mut self) {
        if let Some(meter) = &mut self.meter {
            meter.stretch = None;
        }
    }

    /// Begins a stretch that costs `cost` so far.
    fn begin_stretch(&mut self, cost: i64, checked: bool) {
        if !self.module.metering.fuel {
            return;
        }
        let price = self.b.ins().iconst(I64, cost);
        self.pay(price, checked);
        let price = self.b.func.dfg.value_def(price).unwrap_inst();
        let block = self.b.current_block().expect("code is being added");
        if let Some(meter) = &mut self.meter {
            meter.stretch = Some(Stretch { block, price, cost });
        }
    }

    /// Takes fuel. If `checked`, traps if there was not enough.
    fn pay(&mut self, price: Value, checked: bool) {
        let Some(Meter { allowance, region, .. }) = self.meter else { return };
        let fuel = self.load(I64, allowance, allowance::FUEL, region);
        let left = self.b.ins().isub(fuel, price);
        self.store(left, allowance, allowance::FUEL, region);
        if checked {
            let used_up = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, left, 0);
            self.b.ins().trapnz(used_up, trap_code(Trap::OutOfFuel));
        }
    }

    /// Pays for an instruction that works on `len` bytes: a unit for each word. `len` has 64 bits,
    /// and can be far too large.
    pub(super) fn pay_for_bytes(&mut self, len: Value) {
        if self.module.metering.fuel {
            let words = self.b.ins().ushr_imm_u(len, i64::from(ELEMENT_SIZE.trailing_zeros()));
            self.pay(words, true);
        }
    }

    /// Pays for an instruction that works on `len` table elements: a unit for each.
    pub(super) fn pay_for_elements(&mut self, len: Value) {
        if self.module.metering.fuel {
            let many = self.b.ins().iconst(I64, MANY);
            let elements = self.b.ins().umin(len, many);
            self.pay(elements, true);
        }
    }

    /// Pays for new elements of a table, if it could grow. `before` is -1 otherwise.
    pub(super) fn pay_for_growth(&mut self, before: Value, delta: Value) {
        if self.module.metering.fuel {
            let failed = self.b.ins().icmp_imm_s(IntCC::Equal, before, GROWTH_REFUSED);
            let nothing = self.b.ins().iconst(I64, 0);
            let elements = self.b.ins().select(failed, nothing, delta);
            self.pay_for_elements(elements);
        }
    }

    /// Returns the trampoline, whose place is after all bodies.
    fn new_epoch(&mut self) -> FuncRef {
        if let Some(known) = self.meter.as_ref().and_then(|meter| meter.new_epoch) {
            return known;
        }
        let signature = self.b.import_signature(new_epoch_signature());
        let bodies = self.module.info.funcs.len() as u32 - self.module.info.num_imported_funcs;
        let function = self.import_piece(bodies, signature);
        if let Some(meter) = &mut self.meter {
            meter.new_epoch = Some(function);
        }
        function
    }

    /// Calls the runtime if the store's deadline has passed. It decides whether the code goes on.
    fn check_epoch(&mut self) {
        let Some(Meter { allowance, region, .. }) = self.meter else { return };
        if !self.module.metering.epochs {
            return;
        }
        let at = self.load_constant(I64, allowance, allowance::EPOCH, region);
        let epoch = self.b.ins().atomic_load(I64, MemFlagsData::trusted().with_alias_region(Some(region)), at);
        let deadline = self.load(I64, allowance, allowance::EPOCH_DEADLINE, region);
        let passed = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, epoch, deadline);
        let (ask, next) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(ask);
        self.b.ins().brif(passed, ask, &[], next, &[]);
        self.continue_in(ask);
        let new_epoch = self.new_epoch();
        self.b.ins().call(new_epoch, &[self.vmctx]);
        self.b.ins().jump(next, &[]);
        self.continue_in(next);
    }
}

/// Returns the cost of an instruction, in units of fuel. Those that only structure others are free.
fn cost(instruction: &Instruction<'_>) -> i64 {
    match instruction {
        Instruction::Structure(Structure::If { .. }) => 1,
        Instruction::Structure(_) => 0,
        Instruction::Control(Control::Nop | Control::Drop | Control::Return | Control::Unreachable) => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
