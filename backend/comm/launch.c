/* Which MPI launched this program, and its module. */
#include <stdlib.h>
#include <string.h>

#include "backend/comm/transport.h"
#include "backend/module.h"

/* mpirun and srun tell the ranks who they are in the environment: Open MPI's way and PMIx for the
 * one module; PMI 1 and 2, which MPICH's mpirun and srun --mpi=pmi2 speak, for the other. */
const char *comm_launcher(void)
{
    static const char *const names[][2] = {
        {"OMPI_COMM_WORLD_SIZE", "openmpi"},
        {"PMIX_RANK", "openmpi"},
        {"PMI_FD", "mpich"},
        {"PMI_RANK", "mpich"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i][0]))
            return names[i][1];
    return NULL;
}

enum status comm_open_mpi(struct comm *comm, const char *stem)
{
    void *symbol = NULL;
    comm_module_function *function = NULL;
    static const char hint[] =
        "build mixt where libopenmpi-dev or libmpich-dev is installed (-Dmpi=enabled)";
    enum status status = module_find_symbol(stem, COMM_MODULE_SYMBOL, hint, &symbol);
    if (status < 0)
        return status;
    memcpy(&function, &symbol, sizeof function);
    const struct comm_module *module = function(COMM_MODULE_VERSION);
    if (!module)
        return module_refuse(stem);
    status = module->open(comm);
    return status < 0 ? status_set(status, "%s", comm->message) : STATUS_OK;
}
