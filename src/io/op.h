/*
 * io/op.h - op submission for the rest of io/.
 */
#ifndef SKUA_SRC_OP_H
#define SKUA_SRC_OP_H

#include <skua/op.h>

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Submits one op and returns its result. An interrupted op is submitted again for as long as
 * signals interrupt it, as SA_RESTART does; each turn waits, so this is no spin. In a cancelled
 * task the interruption is the cancel's.
 */
int64_t skua_op_run(skua_op *op);

/* What read(2) and its kin transfer at most; longer requests are cut, as there. */
static inline uint64_t skua_op_transfer_bytes(size_t size)
{
    return skua_min((uint64_t)size, UINT64_C(0x7ffff000));
}

/* As skua_op_submit(), but neither refused nor interrupted by a cancel: for cleanup. */
int skua_op_submit_shielded(skua_op *ops, size_t count);

#endif /* SKUA_SRC_OP_H */
