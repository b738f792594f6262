//! Translates what all objects have in common: how they are found, read, written and made.
//!
//! A reference is 64 bits wide here, and its upper half is 0. An object is at `heap + reference`,
//! and null is in the guard before the heap. So the access to a field is the check for null.

use crate::base::trap::Trap;
use crate::codegen::abi::{trap_code, value_type};
use crate::codegen::translate::state::Translator;
use crate::instance::builtin::{ALLOCATION_FAILED, Builtin};
use crate::instance::layout::header;
use crate::instance::layout::object::{ALIGN, ARRAY_FLAG, LENGTH, LIMIT, NEXT, TYPE, storage_size};
use crate::module::{RefKind, StorageType, ValType};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};

/// How a packed integer is widened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    Signed,
    Unsigned,
}

impl Translator<'_, '_> {
    /// Returns the base of the store's heap.
    pub(super) fn heap(&mut self) -> Value {
        self.load_heap_word(header::HEAP)
    }

    /// Loads a word of the host cell that says where the heap is. A module that brings none can get
    /// one during any call: with another instance of its store.
    fn load_heap_word(&mut self, at: i32) -> Value {
        if self.module.info.needs_heap() {
            self.load_constant(I64, self.vmctx, at, self.regions.host)
        } else {
            self.load(I64, self.vmctx, at, self.regions.heap_control)
        }
    }

    /// Returns the address of an object.
    pub(super) fn object(&mut self, reference: Value) -> Value {
        let heap = self.heap();
        self.b.ins().iadd(heap, reference)
    }

    fn object_flags(&self, ty: StorageType, trap: Option<Trap>) -> MemFlagsData {
        // Vectors are aligned to half their size.
        let flags = match ty {
            StorageType::ValType(ValType::V128) => MemFlagsData::new(),
            _ => MemFlagsData::trusted(),
        };
        flags.with_alias_region(Some(self.regions.objects)).with_trap_code(trap.map(trap_code))
    }

    /// Loads the number of an object's type, with the flag of arrays. It never changes.
    pub(super) fn object_type(&mut self, object: Value) -> Value {
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions.object_headers));
        self.b.ins().load(I32, flags, object, TYPE)
    }

    /// Loads an array's length, which never changes. Traps if the array is null.
    pub(super) fn array_length(&mut self, object: Value) -> Value {
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions.object_headers));
        let flags = flags.with_trap_code(Some(trap_code(Trap::NullReference)));
        self.b.ins().load(I32, flags, object, LENGTH)
    }

    /// Loads a field or element. `trap` is what it means if the access fails, if it can.
    pub(super) fn load_part(
        &mut self,
        ty: StorageType,
        extension: Extension,
        address: Value,
        offset: i32,
        trap: Option<Trap>,
    ) -> Value {
        let flags = self.object_flags(ty, trap);
        let ins = self.b.ins();
        match (ty, extension) {
            (StorageType::I8, Extension::Signed) => ins.sload8(I32, flags, address, offset),
            (StorageType::I8, Extension::Unsigned) => ins.uload8(I32, flags, address, offset),
            (StorageType::I16, Extension::Signed) => ins.sload16(I32, flags, address, offset),
            (StorageType::I16, Extension::Unsigned) => ins.uload16(I32, flags, address, offset),
            (StorageType::ValType(ValType::Ref(ty)), _) => {
                let reference = match ty.heap.kind() {
                    RefKind::Any | RefKind::Extern => ins.uload32(flags, address, offset),
                    RefKind::Exn => ins.load(I64, flags, address, offset),
                    kind @ RefKind::Func => {
                        let stored = ins.load(I64, flags, address, offset);
                        let owner = self.load_heap_word(header::HEAP_OWNER);
                        self.decode_reference(kind, stored, owner)
                    }
                };
                self.trace(ValType::Ref(ty), reference);
                reference
            }
            (StorageType::ValType(ty), _) => ins.load(value_type(ty), flags, address, offset),
        }
    }

    /// Returns a value as objects hold it.
    pub(super) fn encode_part(&mut self, ty: StorageType, value: Value) -> Value {
        match ty {
            StorageType::ValType(ValType::Ref(ty)) if ty.heap.kind() == RefKind::Func => {
                let owner = self.load_heap_word(header::HEAP_OWNER);
                self.encode_reference(RefKind::Func, value, owner)
            }
            _ => value,
        }
    }

    /// Stores what [`Self::encode_part`] returned to a field or element. `trap` is as in
    /// [`Self::load_part`].
    pub(super) fn store_part(
        &mut self,
        ty: StorageType,
        value: Value,
        address: Value,
        offset: i32,
        trap: Option<Trap>,
    ) {
        let flags = self.object_flags(ty, trap);
        let ins = self.b.ins();
        match ty {
            StorageType::I8 => ins.istore8(flags, value, address, offset),
            StorageType::I16 => ins.istore16(flags, value, address, offset),
            StorageType::ValType(ValType::Ref(ty)) => match ty.heap.kind() {
                RefKind::Any | RefKind::Extern => ins.istore32(flags, value, address, offset),
                RefKind::Func | RefKind::Exn => ins.store(flags, value, address, offset),
            },
            StorageType::ValType(_) => ins.store(flags, value, address, offset),
        };
    }

    /// Returns what the elements of an array type hold.
    pub(super) fn element_type(&self, ty: u32) -> StorageType {
        let composite = &self.module.info.types[ty as usize].composite;
        composite.as_array().expect("validation has found an array type").element_type()
    }

    /// Returns the number that the engine has for a type.
    pub(super) fn type_number(&mut self, ty: u32) -> Value {
        let canonical = self.module.info.canonical_types[ty as usize];
        self.load_constant(I32, self.vmctx, self.module.layout.type_id(canonical), self.regions.records)
    }

    /// Makes an object of a type and size, which is a multiple of [`ALIGN`] and less than 2^40.
    /// Returns the reference and the address. Its fields and elements can hold anything. `length`
    /// is an array's.
    ///
    /// This may collect, and so move every other object: addresses that were computed before are
    /// not right any more.
    pub(super) fn allocate(&mut self, ty: u32, size: Value, length: Option<Value>) -> (Value, Value) {
        let heap = self.heap();
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions.heap_control));
        let next = self.b.ins().load(I64, flags, heap, NEXT as i32);
        let limit = self.b.ins().load(I64, flags, heap, LIMIT as i32);
        let end = self.b.ins().iadd(next, size);
        let full = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, limit);
        let (slow, fast) = (self.b.create_block(), self.b.create_block());
        let done = self.block_with(&[I64]);
        self.b.set_cold_block(slow);
        self.b.ins().brif(full, slow, &[], fast, &[]);
        self.continue_in(fast);
        self.b.ins().store(flags, end, heap, NEXT as i32);
        self.jump(done, &[next]);
        self.continue_in(slow);
        let made = self.call_builtin(Builtin::GcAllocate, &[size]);
        let failed = self.b.ins().icmp_imm_u(IntCC::Equal, made, ALLOCATION_FAILED as i64);
        self.trap_if(failed, Trap::HostError);
        let refused = self.b.ins().icmp_imm_u(IntCC::Equal, made, 0);
        self.trap_if(refused, Trap::GcHeapOutOfMemory);
        self.jump(done, &[made]);
        self.continue_in(done);
        let reference = self.b.block_params(done)[0];
        self.b.declare_value_needs_stack_map(reference);
        let object = self.b.ins().iadd(heap, reference);
        let number = self.type_number(ty);
        let mut header = self.b.ins().uextend(I64, number);
        if let Some(length) = length {
            let length = self.widen(length);
            let length = self.b.ins().ishl_imm_u(length, 8 * i64::from(LENGTH - TYPE));
            header = self.b.ins().bor_imm_u(header, i64::from(ARRAY_FLAG));
            header = self.b.ins().bor(header, length);
        }
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions.object_headers));
        self.b.ins().store(flags, header, object, TYPE);
        (reference, object)
    }

    /// Returns the address behind elements of a type that start at an address.
    pub(super) fn behind(&mut self, start: Value, ty: StorageType, count: Value) -> Value {
        let bytes = self.bytes_of(ty, count);
        self.b.ins().iadd(start, bytes)
    }

    /// Returns how many bytes `count` elements take, given and returned with 64 bits.
    pub(super) fn bytes_of(&mut self, ty: StorageType, count: Value) -> Value {
        let log2 = storage_size(ty).trailing_zeros();
        self.b.ins().ishl_imm_u(count, i64::from(log2))
    }

    /// Returns a number of bytes as a whole number of [`ALIGN`].
    pub(super) fn whole_words(&mut self, bytes: Value) -> Value {
        let up = self.b.ins().iadd_imm_u(bytes, ALIGN as i64 - 1);
        self.b.ins().band_imm_s(up, -(ALIGN as i64))
    }
}
