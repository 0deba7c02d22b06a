/*
 * platform/ctx_aarch64.S - the context switch for AAPCS64.
 *
 * Owns the layout of a suspended context's frame, which ctx.c builds for fresh stacks. Called by
 * the inline skua_ctx_swap() of ctx.h only, whose clobbers leave the vector registers, d8-d15
 * included, and x30 to the compiler: an asm statement cannot say that only the upper half of a
 * vector register is lost. From the saved stack pointer upwards, 112 bytes:
 *
 *      0  x19     8  x20    16  x21    24  x22    32  x23    40  x24    48  x25    56  x26
 *     64  x27    72  x28    80  x29    88  where to go on
 *     96  FPCR  104  unused
 *
 * The ABI has no red zone. Jumps, CFI and the outermost frame: as ctx_x86_64.S explains. FPCR holds
 * no flags, and writing it may flush a pipeline, so it is written only if it changes.
 */
        .text

/* x0: from, x1: to, x2: where to go on. Gives from back in x0. */
        .globl  skua_ctx_swap_frame
        .hidden skua_ctx_swap_frame
        .type   skua_ctx_swap_frame, %function
        .p2align 5
skua_ctx_swap_frame:
        .cfi_startproc
        .cfi_def_cfa sp, 0
        .cfi_return_column x2
        stp     x19, x20, [sp, #-112]!
        .cfi_def_cfa_offset 112
        .cfi_offset x19, -112
        .cfi_offset x20, -104
        stp     x21, x22, [sp, #16]
        .cfi_offset x21, -96
        .cfi_offset x22, -88
        stp     x23, x24, [sp, #32]
        .cfi_offset x23, -80
        .cfi_offset x24, -72
        stp     x25, x26, [sp, #48]
        .cfi_offset x25, -64
        .cfi_offset x26, -56
        stp     x27, x28, [sp, #64]
        .cfi_offset x27, -48
        .cfi_offset x28, -40
        stp     x29, x2, [sp, #80]
        .cfi_offset x29, -32
        .cfi_offset x2, -24
        mrs     x9, fpcr
        str     x9, [sp, #96]
        mov     x10, sp
        str     x10, [x0]
        ldr     x11, [x1]
        mov     sp, x11
        ldr     x10, [sp, #96]
        cmp     x9, x10
        b.ne    2f
1:      ldp     x29, x2, [sp, #80]
        .cfi_restore x29
        .cfi_restore x2
        ldp     x27, x28, [sp, #64]
        .cfi_restore x27
        .cfi_restore x28
        ldp     x25, x26, [sp, #48]
        .cfi_restore x25
        .cfi_restore x26
        ldp     x23, x24, [sp, #32]
        .cfi_restore x23
        .cfi_restore x24
        ldp     x21, x22, [sp, #16]
        .cfi_restore x21
        .cfi_restore x22
        ldp     x19, x20, [sp], #112
        .cfi_restore x19
        .cfi_restore x20
        .cfi_def_cfa_offset 0
        br      x2
2:
        .cfi_def_cfa_offset 112
        .cfi_offset x19, -112
        .cfi_offset x20, -104
        .cfi_offset x21, -96
        .cfi_offset x22, -88
        .cfi_offset x23, -80
        .cfi_offset x24, -72
        .cfi_offset x25, -64
        .cfi_offset x26, -56
        .cfi_offset x27, -48
        .cfi_offset x28, -40
        .cfi_offset x29, -32
        .cfi_offset x2, -24
        msr     fpcr, x10
        b       1b
        .cfi_endproc
        .size   skua_ctx_swap_frame, . - skua_ctx_swap_frame

/*
 * Where a fresh context begins: x19 is the function to call, x20 its argument, x0 the context that
 * switched to it (a second argument, for ctx.c in sanitizer builds), x29 0, sp a multiple of 16.
 * The nop: see ctx_x86_64.S.
 */
        .globl  skua_ctx_start, skua_ctx_start_pc
        .hidden skua_ctx_start, skua_ctx_start_pc
        .type   skua_ctx_start, %function
        .p2align 4
skua_ctx_start:
        .cfi_startproc
        .cfi_undefined x30
        nop
skua_ctx_start_pc:
        mov     x1, x0
        mov     x0, x20
        blr     x19
        brk     #1
        .cfi_endproc
        .size   skua_ctx_start, . - skua_ctx_start

        .section .note.GNU-stack, "", %progbits
