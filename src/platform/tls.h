/*
 * platform/tls.h - one thread-local pointer that survives being moved to another thread.
 *
 * WHAT   A compiler may compute the address of a _Thread_local variable once and keep it for the
 *        whole function, because in C a function does not change its thread. A task does, at every
 *        switch. skua_tls_get() is volatile assembly: it computes the address each time, and it
 *        stays on its side of a call. Its result is still a plain value: who keeps it across a
 *        switch has the old thread's.
 *
 * USE    The runtime keeps here what belongs to the running thread. No other thread-local variable
 *        may be touched by code that can switch.
 *
 * The initial-exec model works in executables and in libraries that are linked at start or opened
 * with dlopen() (glibc keeps a reserve of static TLS for such small variables).
 */
#ifndef SKUA_SRC_TLS_H
#define SKUA_SRC_TLS_H

#if defined(__x86_64__) && defined(__LP64__)

static inline void *skua_tls_get(void)
{
    void *value;
    __asm__ volatile("movq skua_tls_slot@gottpoff(%%rip), %0\n\t"
                     "movq %%fs:(%0), %0"
                     : "=r"(value));
    return value;
}

static inline void skua_tls_set(void *value)
{
    void *offset;
    __asm__ volatile("movq skua_tls_slot@gottpoff(%%rip), %0\n\t"
                     "movq %1, %%fs:(%0)"
                     : "=&r"(offset)
                     : "r"(value)
                     : "memory");
}

#elif defined(__aarch64__) && defined(__LP64__)

static inline void *skua_tls_get(void)
{
    void *value, *base;
    __asm__ volatile("mrs %1, tpidr_el0\n\t"
                     "adrp %0, :gottprel:skua_tls_slot\n\t"
                     "ldr %0, [%0, :gottprel_lo12:skua_tls_slot]\n\t"
                     "ldr %0, [%1, %0]"
                     : "=&r"(value), "=&r"(base));
    return value;
}

static inline void skua_tls_set(void *value)
{
    void *offset, *base;
    __asm__ volatile("mrs %1, tpidr_el0\n\t"
                     "adrp %0, :gottprel:skua_tls_slot\n\t"
                     "ldr %0, [%0, :gottprel_lo12:skua_tls_slot]\n\t"
                     "str %2, [%1, %0]"
                     : "=&r"(offset), "=&r"(base)
                     : "r"(value)
                     : "memory");
}

#else

void *skua_tls_get(void);
void skua_tls_set(void *value);

#endif

#endif /* SKUA_SRC_TLS_H */
