//! Tells `gdb` the functions of guests, so that its backtraces have their names and go on through
//! them.
//!
//! A debugger knows the code that is in files. For code that a program makes there is an agreement,
//! gdb's JIT compilation interface: the program keeps a list of object files in its memory, and
//! calls a function that does nothing whenever the list has changed. The debugger finds both by
//! their names. It stops at the function and reads the list, as it does when it attaches to the
//! program later.
//!
//! These object files have no code in them. They say where it is, what its functions are called,
//! and how to get from a frame to its caller's.

use crate::output::report::Report;
use minirt::{Module, Printable};
use object::Endianness::Little;
use object::elf::{self, SymbolInfo};
use object::write::elf::{FileHeader, SectionHeader, Sym, Writer};
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst};

/// The list, as the agreement has it: version 1.
#[repr(C)]
struct Descriptor {
    version: u32,
    /// What was done last: 1 for an entry that was added.
    action: AtomicU32,
    /// With which entry.
    relevant: AtomicPtr<Entry>,
    first: AtomicPtr<Entry>,
}

/// An object file in the list. Nothing here changes it, or frees it: guests end with the process.
#[repr(C)]
struct Entry {
    next: AtomicPtr<Entry>,
    previous: AtomicPtr<Entry>,
    file: AtomicPtr<u8>,
    len: u64,
}

#[allow(unsafe_code, reason = "the debugger looks for this name, and no other code has it")]
#[unsafe(no_mangle)]
static __jit_debug_descriptor: Descriptor = Descriptor {
    version: 1,
    action: AtomicU32::new(0),
    relevant: AtomicPtr::new(std::ptr::null_mut()),
    first: AtomicPtr::new(std::ptr::null_mut()),
};

#[allow(unsafe_code, reason = "the debugger looks for this name, and no other code has it")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn __jit_debug_register_code() {
    std::hint::black_box(()); // Or the compiler sees that calls do nothing, and leaves them out.
}

/// Adds a module, which must stay until the process ends.
///
/// # Errors
/// Returns an error if this build has not learned how to do that.
pub(crate) fn add(module: &Module) -> Result<(), Report> {
    /// The first entry. While it is locked, nobody else changes the list.
    static FIRST: Mutex<Option<&Entry>> = Mutex::new(None);
    if !cfg!(target_arch = "x86_64") {
        return Err(Report::new(
            "gdb cannot be told the guest's functions",
            "this build of minirt only knows how to do that on x86-64",
            "run it without --profile=gdb: backtraces of traps name the functions on any processor",
        ));
    }
    let Some(file) = object_file(module) else { return Ok(()) };
    let file = file.leak();
    let mut first = FIRST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let next = first.map_or(std::ptr::null_mut(), |next| std::ptr::from_ref(next).cast_mut());
    let entry = Box::leak(Box::new(Entry {
        next: AtomicPtr::new(next),
        previous: AtomicPtr::default(),
        len: file.len() as u64,
        file: AtomicPtr::new(file.as_mut_ptr()),
    }));
    let address = std::ptr::from_mut(entry);
    if let Some(next) = first.replace(entry) {
        next.previous.store(address, SeqCst);
    }
    let list = &__jit_debug_descriptor;
    list.first.store(address, SeqCst);
    list.relevant.store(address, SeqCst);
    list.action.store(1, SeqCst);
    __jit_debug_register_code();
    Ok(())
}

/// A stretch of code.
struct Code {
    name: String,
    start: u64,
    len: u64,
}

/// Lists the functions of a module, and its trampolines as one.
fn code(module: &Module) -> Vec<Code> {
    let text = module.text();
    let (start, name) = (text.as_ptr() as u64, Printable::new(module.name().unwrap_or("wasm")).to_string());
    let mut code: Vec<_> = (module.functions())
        .map(|function| {
            let own = function.name.as_deref().map(|name| Printable::new(name).to_string());
            let own = own.unwrap_or_else(|| format!("<wasm function {}>", function.index));
            Code { name: format!("{name}!{own}"), start: start + function.offset as u64, len: function.len as u64 }
        })
        .collect();
    let end = code.iter().map(|function| function.start + function.len).max().unwrap_or(start);
    let rest = start + text.len() as u64 - end;
    if rest > 0 {
        code.push(Code { name: format!("{name}!<trampolines>"), start: end, len: rest });
    }
    code
}

/// Returns an object file that describes a module's code. `None` if it has none.
fn object_file(module: &Module) -> Option<Vec<u8>> {
    let code = code(module);
    let start = code.first()?.start;
    let frames = frames(&code);
    let mut file = Vec::new();
    let mut writer = Writer::new(Little, true, &mut file);
    writer.reserve_file_header();
    writer.reserve_null_section_index();
    let text = (writer.add_section_name(b".text"), writer.reserve_section_index());
    let debug_frame = writer.add_section_name(b".debug_frame");
    writer.reserve_section_index();
    writer.reserve_symtab_section_index();
    writer.reserve_strtab_section_index();
    writer.reserve_shstrtab_section_index();
    writer.reserve_null_symbol_index();
    let names: Vec<_> = code.iter().map(|code| writer.add_string(code.name.as_bytes())).collect();
    names.iter().for_each(|_| _ = writer.reserve_symbol_index(Some(text.1)));
    let frames_at = writer.reserve(frames.len() as u64, 8);
    writer.reserve_symtab();
    writer.reserve_strtab().ok()?;
    writer.reserve_shstrtab().ok()?;
    writer.reserve_section_headers();

    let header = FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_EXEC,
        e_machine: elf::EM_X86_64,
        e_entry: 0,
        e_flags: Default::default(),
    };
    writer.write_file_header(&header).ok()?;
    writer.write_align(8);
    writer.write(&frames);
    writer.write_null_symbol();
    for (code, name) in code.iter().zip(names) {
        writer.write_symbol(&Sym {
            section: Some(text.1.0),
            st_name: writer.string_offset(Some(name)),
            st_info: SymbolInfo::new(elf::STB_GLOBAL, elf::STT_FUNC),
            st_other: Default::default(),
            st_shndx: Default::default(),
            st_value: code.start,
            st_size: code.len,
        });
    }
    writer.write_strtab();
    writer.write_shstrtab();
    writer.write_null_section_header();
    let section = |name, kind, flags, addr, offset, len| SectionHeader {
        sh_name: name,
        sh_type: kind,
        sh_flags: flags,
        sh_addr: addr,
        sh_offset: offset,
        sh_size: len,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: 1,
        sh_entsize: 0,
    };
    let (name, flags) = (writer.section_name_offset(Some(text.0)), elf::SHF_ALLOC | elf::SHF_EXECINSTR);
    writer.write_section_header(&section(name, elf::SHT_NOBITS, flags, start, 0, module.text().len() as u64));
    let name = writer.section_name_offset(Some(debug_frame));
    let len = frames.len() as u64;
    writer.write_section_header(&section(name, elf::SHT_PROGBITS, Default::default(), 0, frames_at, len));
    writer.write_symtab_section_header(1);
    writer.write_strtab_section_header();
    writer.write_shstrtab_section_header();
    Some(file)
}

/// Returns how to get from each function's frame to its caller's, as call frame information (DWARF,
/// section 6.4). All code keeps frame pointers, so there is little to say: where the prologue ends.
fn frames(code: &[Code]) -> Vec<u8> {
    // A function begins with `push rbp`, of one byte, and `mov rbp, rsp`, of three. DWARF calls the
    // registers 6 and 7, and the return address 16.
    const COMMON: &[u8] = &[
        0xff, 0xff, 0xff, 0xff, // This is what others have in common.
        4, 0, 8, 0, // Version 4, no extensions, addresses of 8 bytes without segments.
        1, 0x78, 16, // Code counts in bytes, data in -8 bytes. The return address.
        0x0c, 7, 8, // At first, the frame ends 8 bytes above rsp,
        0x90, 1, // and the return address lies at its end.
    ];
    const PROLOGUE: &[u8] = &[
        0x41, 0x0e, 16, 0x86, 2, // After `push rbp`: 16 bytes above rsp, with rbp under the return address.
        0x43, 0x0d, 6, // After `mov rbp, rsp`: counted from rbp.
    ];
    let mut bytes = Vec::new();
    let mut put = |parts: &[&[u8]]| {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let padding = (len + 4).next_multiple_of(8) - (len + 4); // Zeros do nothing.
        bytes.extend(((len + padding) as u32).to_le_bytes());
        parts.iter().for_each(|part| bytes.extend(*part));
        bytes.extend(&[0; 8][..padding]);
    };
    put(&[COMMON]);
    for code in code {
        put(&[&[0; 4], &code.start.to_le_bytes(), &code.len.to_le_bytes(), PROLOGUE]);
    }
    bytes
}
