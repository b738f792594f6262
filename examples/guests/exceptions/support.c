// The tags of the exceptions that LLVM makes of C++ exceptions and of longjmp. Each carries an address. The compiler's
// package has the rest of what they need, but no tags for WASI.
__asm__(".globl __cpp_exception\n"
        ".tagtype __cpp_exception i32\n"
        "__cpp_exception:\n"
        ".globl __c_longjmp\n"
        ".tagtype __c_longjmp i32\n"
        "__c_longjmp:\n");
