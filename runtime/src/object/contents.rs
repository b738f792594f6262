//! Makes structures and arrays for the embedder, and reads and writes what they hold.

use crate::instance::ensure_heap;
use crate::ops::bulk::{memory_fill, memory_read, memory_write};
use crate::ops::heap;
use crate::store::{Heap, ObjectHeader, StoreInner};
use crate::types::RegisteredTypes;
use crate::value::Val;
use crate::vmctx::{Raw, load_reference, store_reference};
use anyhow::{Context, Result, ensure};
use minirt_compiler::Trap;
use minirt_compiler::instance::layout::object::{
    ALIGN, ARRAY_FLAG, BIAS, FIELDS, HEAP_MAX, array_size, field_offsets, storage_size,
};
use minirt_compiler::module::canonical::NumberedTypes;
use minirt_compiler::module::{ArrayType, CompositeType, StorageType, StructType, ValType};
use std::sync::Arc;

/// How many bytes of an array are written at a time.
const CHUNK: usize = 64 << 10;

/// The type of objects that the embedder makes.
#[derive(Debug)]
pub(super) struct Allocator<T> {
    types: RegisteredTypes,
    pub(super) ty: T,
}

impl<T: Into<CompositeType> + Clone> Allocator<T> {
    /// Prepares a type.
    ///
    /// # Panics
    /// Panics if the type belongs to another engine than the store's.
    pub(super) fn new(store: &StoreInner, ty: T) -> Self {
        let types = store.engine.type_registry().register_one(ty.clone());
        Self { types, ty }
    }

    /// Makes room for an object, and the heap if the store has none. Returns where it is. What is
    /// there is undefined, so the caller writes it before anything else is made.
    fn allocate(&self, store: &mut StoreInner, size: u64) -> Result<u64> {
        ensure!(size <= HEAP_MAX, Trap::GcHeapOutOfMemory);
        ensure_heap(store)?;
        if !store.heap.as_ref().is_some_and(|heap| heap.holds(self.types[0])) {
            // The first object of the type: from now on code may look for its supertypes.
            store.engine.type_registry().check_supertypes()?;
        }
        store.touched = true;
        // SAFETY: the embedder has the store, so no code of it is at work in the heap, or it waits
        // for the host. No reference into the heap is held here.
        let at = unsafe { heap::allocate(store, size)? }.ok_or(Trap::GcHeapOutOfMemory)?;
        let registry = Arc::clone(store.engine.type_registry());
        let heap = store.heap.as_mut().context(NO_HEAP)?;
        heap.hold(self.types[0], || registry.hold(&self.types).expect("the allocator holds it"));
        Ok(at)
    }

    /// Checks that this store can have objects of the type.
    fn check_engine(&self, store: &StoreInner) -> Result<()> {
        ensure!(self.types.is_of(store.engine.type_registry()), "the type was prepared for another engine");
        Ok(())
    }

    /// Returns the first eight bytes of an object.
    fn header(&self, len: Option<u32>) -> [u8; 8] {
        let flag = if len.is_some() { ARRAY_FLAG } else { 0 };
        (u64::from(len.unwrap_or(0)) << 32 | u64::from(self.types[0] | flag)).to_le_bytes()
    }
}

impl Allocator<StructType> {
    /// Makes a structure. Returns the reference.
    pub(super) fn structure(&self, store: &mut StoreInner, fields: &[Val]) -> Result<u64> {
        self.check_engine(store)?;
        let types = self.ty.fields();
        ensure!(
            types.len() == fields.len(),
            "a structure of {} fields cannot be made of {} values",
            types.len(),
            fields.len()
        );
        for (index, (ty, value)) in types.iter().zip(fields).enumerate() {
            bits(store, ty.element, *value).with_context(|| format!("field {index} of the structure"))?;
        }
        let mut offsets = field_offsets(&self.ty);
        let size = offsets.pop().expect("the size is the last");
        let at = self.allocate(store, size)?;
        // References are looked up only now: making room may have moved what they lead to.
        let mut object = vec![0; size as usize];
        object[..FIELDS as usize].copy_from_slice(&self.header(None));
        for ((offset, ty), value) in offsets.iter().zip(types).zip(fields) {
            let size = storage_size(ty.element) as usize;
            let bits = stored(store, ty.element, *value)?;
            object[*offset as usize..][..size].copy_from_slice(&bits.to_le_bytes()[..size]);
        }
        write(store, at, &object)?;
        Ok(at)
    }
}

/// The elements of a new array.
#[derive(Clone, Copy, Debug)]
pub(super) enum Elements<'a> {
    /// These.
    Values(&'a [Val]),
    /// So many times the same.
    Repeat(&'a Val, u32),
    /// These integers of eight bits.
    Bytes(&'a [u8]),
}

impl Allocator<ArrayType> {
    /// Makes an array. Returns the reference.
    pub(super) fn array(&self, store: &mut StoreInner, elements: Elements<'_>) -> Result<u64> {
        self.check_engine(store)?;
        let ty = self.ty.element_type();
        let len = match elements {
            Elements::Values(values) => values.len(),
            Elements::Repeat(_, len) => len as usize,
            Elements::Bytes(bytes) => bytes.len(),
        };
        let len = u32::try_from(len).map_err(|_| Trap::GcHeapOutOfMemory)?;
        match elements {
            Elements::Values(values) => {
                for (index, value) in values.iter().enumerate() {
                    bits(store, ty, *value).with_context(|| format!("element {index} of the array"))?;
                }
            }
            Elements::Repeat(value, _) => _ = bits(store, ty, *value).context("the elements of the array")?,
            Elements::Bytes(_) => ensure!(ty.is_i8(), "bytes cannot be elements of `{}`", self.ty),
        }
        let size = array_size(&self.ty, len);
        let at = self.allocate(store, size)?;
        let mut object = Writer { at, bytes: self.header(Some(len)).to_vec() };
        // References are looked up only now: making room may have moved what they lead to.
        let element = storage_size(ty) as usize;
        match elements {
            Elements::Values(values) => {
                for value in values {
                    let bits = stored(store, ty, *value)?;
                    object.put(store, &bits.to_le_bytes()[..element])?;
                }
            }
            Elements::Repeat(value, len) => match stored(store, ty, *value)? {
                0 => object.zero(store, u64::from(len) * element as u64)?,
                bits => (0..len).try_for_each(|_| object.put(store, &bits.to_le_bytes()[..element]))?,
            },
            Elements::Bytes(bytes) => bytes.chunks(CHUNK).try_for_each(|bytes| object.put(store, bytes))?,
        }
        let end = object.at + object.bytes.len() as u64;
        object.zero(store, end.next_multiple_of(ALIGN) - end)?;
        Ok(at)
    }
}

/// Writes an object that may be large, bit by bit.
struct Writer {
    at: u64,
    /// The bytes to be written there.
    bytes: Vec<u8>,
}

impl Writer {
    fn put(&mut self, store: &StoreInner, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= CHUNK { self.flush(store) } else { Ok(()) }
    }

    fn flush(&mut self, store: &StoreInner) -> Result<()> {
        write(store, self.at, &self.bytes)?;
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }

    /// Writes what there is, and so many zeros.
    fn zero(&mut self, store: &StoreInner, len: u64) -> Result<()> {
        self.flush(store)?;
        let heap = heap_of(store)?;
        // SAFETY: the heap is alive, and no Rust reference points into it.
        unsafe { memory_fill(heap.memory, self.at - BIAS, 0, len)? }
        self.at += len;
        Ok(())
    }
}

const NO_HEAP: &str = "the store has no structures or arrays";

fn heap_of(store: &StoreInner) -> Result<&Heap> {
    store.heap.as_deref().context(NO_HEAP)
}

/// Returns the start of the object that a reference leads to.
pub(super) fn header(store: &StoreInner, word: u64) -> Result<ObjectHeader> {
    heap_of(store)?.header(word as u32).context("a reference leads to no object")
}

/// Returns a value as Wasm sees it, if it fits.
///
/// # Errors
/// Returns an error if it does not.
fn bits(store: &mut StoreInner, ty: StorageType, value: Val) -> Result<u128> {
    let wanted = ty.unpack();
    let fits = value.matches(wanted, store)?;
    ensure!(fits, "expected {}, found {}", store.engine.shown(&wanted), value.ty());
    let Raw(bits) = value.into_raw(store)?;
    Ok(bits)
}

/// Returns a value as objects hold it, if it fits.
fn stored(store: &mut StoreInner, ty: StorageType, value: Val) -> Result<u128> {
    let bits = bits(store, ty, value)?;
    Ok(match ty {
        StorageType::ValType(ValType::Ref(ty)) => {
            store_reference(ty.heap.kind(), bits as u64, heap_of(store)?.owner).into()
        }
        _ => bits,
    })
}

fn write(store: &StoreInner, at: u64, bytes: &[u8]) -> Result<()> {
    let heap = heap_of(store)?;
    // SAFETY: the heap is alive, and no Rust reference points into it.
    unsafe { memory_write(heap.memory, at - BIAS, bytes)? }
    Ok(())
}

/// Reads bytes of an object, given where they are.
pub(super) fn read_bytes(store: &StoreInner, at: u64, bytes: &mut [u8]) -> Result<()> {
    let heap = heap_of(store)?;
    // SAFETY: the heap is alive, and no code writes it while the embedder has the store.
    unsafe { memory_read(heap.memory, at - BIAS, bytes)? }
    Ok(())
}

/// Returns a field or element, given where it is.
pub(super) fn read(store: &StoreInner, at: u64, ty: StorageType) -> Result<Val> {
    let mut bytes = [0; 16];
    read_bytes(store, at, &mut bytes[..storage_size(ty) as usize])?;
    let mut bits = u128::from_le_bytes(bytes);
    if let StorageType::ValType(ValType::Ref(ty)) = ty {
        bits = load_reference(ty.heap.kind(), bits as u64, heap_of(store)?.owner).into();
    }
    Ok(Val::from_raw(Raw(bits), ty.unpack(), store))
}

/// Changes a field or element, given where it is.
pub(super) fn write_value(store: &mut StoreInner, at: u64, ty: StorageType, value: Val) -> Result<()> {
    let bits = stored(store, ty, value)?;
    store.touched = true;
    write(store, at, &bits.to_le_bytes()[..storage_size(ty) as usize])
}

/// Returns what `get` finds in the type of an object.
pub(super) fn in_type<R>(
    store: &StoreInner,
    header: ObjectHeader,
    get: impl FnOnce(&CompositeType) -> Option<R>,
) -> Result<R> {
    let types = store.engine.types();
    let def = types.get(header.ty).context("the type of an object is not known")?;
    get(&def.composite).context("a reference leads to an object of another kind")
}

/// Returns whether an object is of a type, or of one that extends it.
pub(super) fn is_of(store: &StoreInner, header: ObjectHeader, ty: impl Into<CompositeType>) -> bool {
    let wanted = store.engine.type_registry().register_one(ty);
    store.engine.is_subtype(header.ty, wanted[0])
}
