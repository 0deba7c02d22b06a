/*
 * platform/ctx_x86_64.S - the context switch for the System V ABI on x86-64.
 *
 * Owns the layout of a suspended context's frame, which ctx.c builds for fresh stacks. Called by
 * the inline skua_ctx_swap() of ctx.h only. From the saved stack pointer upwards:
 *
 *      0  MXCSR (4 bytes), x87 control word (2), unused (2)
 *      8  r15     16  r14     24  r13     32  r12     40  rbx     48  rbp
 *     56  where to go on
 *     64  128 bytes untouched: the red zone of the function around skua_ctx_swap()
 *
 * JUMP   Entered by jmp with the address to go on in rdx, and left by jmp. The processor's stack of
 *        return addresses thus holds, after a switch, just what it held before, and the returns of
 *        the resumed context are predicted when a context of the same shape was suspended. Measured
 *        on Zen 5, a flat loop switching to tasks that return through three frames: 4.8 ns a
 *        switch; entered by call and left by jmp 15 ns, left by ret 12 ns. A mispredicted return
 *        costs 8 ns, which is more than all the rest.
 *
 * FLOAT  The control words are stored and loaded without comparing: stmxcsr costs 1.4 ns, the
 *        others next to nothing, comparing one more nanosecond.
 *
 * CFI    Both sides of a switch have the same frame, so one description holds before and after the
 *        instruction that changes rsp: an unwinder sees the old context until then, the new one
 *        after. skua_ctx_start has no caller: its return address is undefined, which ends a
 *        backtrace, and rbp is 0, which ends a frame-pointer walk.
 *
 * CET    There is no GNU property note here, on purpose. Moving to another stack without moving to
 *        another shadow stack faults at the next ret; without the note the linker drops IBT and
 *        SHSTK from the program, and nobody then enforces them on it.
 */
        .text

/* rdi: from, rsi: to, rdx: where to go on. Gives from back in rax. */
        .globl  skua_ctx_swap_frame
        .hidden skua_ctx_swap_frame
        .type   skua_ctx_swap_frame, @function
        .p2align 5
skua_ctx_swap_frame:
        .cfi_startproc
        .cfi_def_cfa %rsp, 0
        .cfi_register %rip, %rdx
        subq    $128, %rsp
        .cfi_adjust_cfa_offset 128
        pushq   %rdx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rip, 0
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rdi, %rax
        movq    %rsp, (%rdi)
        movq    (%rsi), %rsp
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        popq    %rdx
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rdx
        subq    $-128, %rsp
        .cfi_adjust_cfa_offset -128
        jmp     *%rdx
        .cfi_endproc
        .size   skua_ctx_swap_frame, . - skua_ctx_swap_frame

/*
 * Where a fresh context begins: rbx is the function to call, r12 its argument, rax the context that
 * switched to it (a second argument, for ctx.c in sanitizer builds), rbp 0, rsp a multiple of 16.
 * Unwinders look a return address up one byte before it, so the context starts at the second
 * instruction: the first only keeps that byte inside this function.
 */
        .globl  skua_ctx_start, skua_ctx_start_pc
        .hidden skua_ctx_start, skua_ctx_start_pc
        .type   skua_ctx_start, @function
        .p2align 4
skua_ctx_start:
        .cfi_startproc
        .cfi_undefined %rip
        nop
skua_ctx_start_pc:
        movq    %r12, %rdi
        movq    %rax, %rsi
        call    *%rbx
        ud2
        .cfi_endproc
        .size   skua_ctx_start, . - skua_ctx_start

        .section .note.GNU-stack, "", @progbits
