/*
 * io/op.h - op submission for the rest of io/.
 */
#ifndef SKUA_SRC_OP_H
#define SKUA_SRC_OP_H

#include <skua/op.h>

/* As skua_op_submit(), but neither refused nor interrupted by a cancel: for cleanup. */
int skua_op_submit_shielded(skua_op *ops, size_t count);

#endif /* SKUA_SRC_OP_H */
