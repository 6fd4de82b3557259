/* The border to a backend that lies in a module of its own, so that the program starts where the
 * libraries that it needs are not installed.
 *
 * A module links its own copies of base/ and of tensor arithmetic: what passes the border is the
 * structs of backend.h and the functions of their table. It keeps its messages in the handle, not
 * in status_set(), whose text is one a copy. A module once opened is never closed. */
#ifndef MIXT_BACKEND_MODULE_H
#define MIXT_BACKEND_MODULE_H

#include "backend/comm/transport.h"

struct backend_module {
    /* Opens a handle on device number `index`, whose name begins with `stem`. On failure the reason
     * is in backend->message (STATUS_DEVICE, STATUS_CONFIG, STATUS_MEMORY). */
    enum status (*open)(struct backend *backend, const char *stem, int index, enum compute compute,
                        int n_threads);
    /* Tensors between ranks without the host; NULL: the module has no such thing. */
    const struct comm_device_ops *comm;
};

/* The number of this border: raised with every change of what backend.h and comm.h say. The sizes
 * catch an entry that was added without. */
enum {
    BACKEND_MODULE_VERSION = 4 << 16 | (int)(sizeof(struct backend_ops) +
                                             sizeof(struct comm_device_ops) + sizeof(struct comm))
};

/* The one symbol of a module: its functions, or NULL for another version than its own. */
typedef const struct backend_module *backend_module_function(int version);
#define BACKEND_MODULE_SYMBOL "mixt_backend_module"

/* Loads libmixt-STEM.so (from the program's folder, from ../lib beside it, or from where the loader
 * looks) and opens a handle. STATUS_DEVICE says what is missing. */
enum status module_open(struct backend *backend, const char *stem, int index, enum compute compute,
                        int n_threads) STATUS_CHECKED;

/* The device calls between ranks of the module that a handle was opened by; NULL for none. */
const struct comm_device_ops *module_comm(const struct backend *backend);

/* Loads libmixt-STEM.so likewise, which stays loaded, and finds a symbol in it. STATUS_DEVICE says
 * what is missing, with this hint where it is the file. */
enum status module_find_symbol(const char *stem, const char *name, const char *hint,
                               void **symbol) STATUS_CHECKED;

/* STATUS_DEVICE: the module is of another version. */
enum status module_refuse(const char *stem);

/* Whether this machine has NVIDIA's driver: without it the module, which brings hundreds of
 * megabytes of libraries, need not be loaded to find no GPU. */
bool module_has_driver(void);

#endif
