/*
 * io/net_call.c - see net_call.h.
 */
#include "io/net_call.h"

#include "engine/engine.h"
#include "platform/vthread.h"

#include <errno.h>

static int returned(const struct skua_net_call *call)
{
    const int *numbers = call->numbers;
    switch (call->code) {
    case SKUA_NET_SOCKET:
        return socket(numbers[0], numbers[1], numbers[2]);
    case SKUA_NET_BIND:
        return bind(call->fd, call->data, call->data_size);
    case SKUA_NET_LISTEN:
        return listen(call->fd, numbers[0]);
    case SKUA_NET_CONNECT:
        return connect(call->fd, call->data, call->data_size);
    case SKUA_NET_ACCEPT:
        return accept4(call->fd, call->data, call->size, numbers[0]);
    case SKUA_NET_SHUTDOWN:
        return shutdown(call->fd, numbers[0]);
    case SKUA_NET_NAME:
        return getsockname(call->fd, call->data, call->size);
    case SKUA_NET_PEER:
        return getpeername(call->fd, call->data, call->size);
    case SKUA_NET_GET_OPTION:
        return getsockopt(call->fd, numbers[0], numbers[1], call->data, call->size);
    case SKUA_NET_SET_OPTION:
        return setsockopt(call->fd, numbers[0], numbers[1], call->data, call->data_size);
    }
    return -1;
}

/* Not inlined: nobody may share an errno address with a caller that can switch threads. */
SKUA_NOINLINE int skua_net_call(struct skua_net_call *call)
{
    if (skua_vthread_simulated() && skua_sim_hooks()->net_call(call))
        return call->result;
    int result = returned(call);
    return result < 0 ? -errno : result;
}
