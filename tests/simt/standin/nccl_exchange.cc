/* Stand-in of NCCL: meeting the other ranks, and messages to and from them, as files. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/simt/standin/nccl.hh"
#include "tests/simt/standin/standin.hh"

double nccl_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

double nccl_timeout_ms(void)
{
    const char *given = getenv("STANDIN_NCCL_TIMEOUT_MS");
    return given ? atof(given) : 20e3;
}

std::string nccl_new_folder(void)
{
    static std::atomic<int> n_made;
    struct stat info;
    const bool has_memory = stat("/dev/shm", &info) == 0;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char path[96] = "";
    snprintf(path, sizeof path, "%s/standin-nccl-%d-%lld-%d", has_memory ? "/dev/shm" : "/tmp",
             (int)getpid(), (long long)now.tv_sec * 1000000000 + now.tv_nsec, n_made++);
    return path;
}

static std::string member(const struct ncclComm *comm, int rank)
{
    return comm->folder + "/rank." + std::to_string(rank);
}

/* Written elsewhere and moved, so that nobody reads half of it. */
static void publish(const std::string &path, const std::vector<char> &content)
{
    const std::string draft = path + ".draft";
    FILE *file = fopen(draft.c_str(), "wb");
    const bool is_empty = content.empty(); /* and then data() may be NULL */
    const bool is_written =
        file && (is_empty || fwrite(content.data(), 1, content.size(), file) == content.size());
    if (!file || fclose(file) != 0 || !is_written || rename(draft.c_str(), path.c_str()) != 0)
        standin_complain("nccl", "cannot write %s", path.c_str());
}

static bool exists(const std::string &path)
{
    struct stat info;
    return stat(path.c_str(), &info) == 0;
}

bool nccl_join(const struct ncclComm *comm)
{
    char text[64] = "";
    mkdir(comm->folder.c_str(), 0700); /* by the first one */
    if (exists(member(comm, comm->rank)))
        return false;
    const int n = snprintf(text, sizeof text, "%d %d", comm->n_ranks, comm->device);
    publish(member(comm, comm->rank), std::vector<char>(text, text + n));
    return true;
}

/* The number of ranks and the device that a rank has joined with. */
static bool read_member(const struct ncclComm *comm, int rank, int *n_ranks, int *device)
{
    FILE *file = fopen(member(comm, rank).c_str(), "r");
    const bool is_read = file && fscanf(file, "%d %d", n_ranks, device) == 2;
    if (file)
        fclose(file);
    return is_read;
}

static bool is_everyone_there(const struct ncclComm *comm)
{
    for (int rank = 0; rank < comm->n_ranks; rank++)
        if (!exists(member(comm, rank)))
            return false;
    return true;
}

static ncclResult_t check_members(const struct ncclComm *comm)
{
    const char *shared = getenv("STANDIN_NCCL_SHARED_DEVICE"); /* each process its own emulator */
    for (int rank = 0; rank < comm->n_ranks; rank++) {
        int n_ranks = 0, device = -1;
        if (!read_member(comm, rank, &n_ranks, &device) || n_ranks != comm->n_ranks) {
            standin_complain("ncclCommInitRank", "rank %d speaks of %d ranks, rank %d of %d", rank,
                             n_ranks, comm->rank, comm->n_ranks);
            return ncclInvalidArgument;
        }
        if (rank != comm->rank && device == comm->device && !shared) {
            standin_complain("ncclCommInitRank", "ranks %d and %d have device %d both", rank,
                             comm->rank, device);
            return ncclInvalidUsage;
        }
    }
    return ncclSuccess;
}

ncclResult_t nccl_look_for_all(const struct ncclComm *comm)
{
    if (is_everyone_there(comm))
        return check_members(comm);
    if (nccl_now_ms() - comm->since_ms <= nccl_timeout_ms())
        return ncclInProgress;
    standin_complain("ncclCommInitRank", "not all of %d ranks came", comm->n_ranks);
    return ncclSystemError;
}

ncclResult_t nccl_wait_for_all(const struct ncclComm *comm)
{
    ncclResult_t result = ncclInProgress;
    while ((result = nccl_look_for_all(comm)) == ncclInProgress)
        usleep(200);
    return result;
}

/* Members stay until all that came have left, since a late one still looks for them. */
void nccl_leave(const struct ncclComm *comm)
{
    publish(member(comm, comm->rank) + ".left", {});
    for (int rank = 0; rank < comm->n_ranks; rank++)
        if (exists(member(comm, rank)) && !exists(member(comm, rank) + ".left"))
            return;
    DIR *folder = opendir(comm->folder.c_str());
    if (!folder)
        return;
    while (struct dirent *entry = readdir(folder))
        unlink((comm->folder + "/" + entry->d_name).c_str());
    closedir(folder);
    rmdir(comm->folder.c_str());
}

void nccl_give_up(const struct ncclComm *comm)
{
    publish(comm->folder + "/given-up", {});
}

bool nccl_has_given_up(const struct ncclComm *comm)
{
    return exists(comm->folder + "/given-up");
}

static std::string message(const struct ncclComm *comm, char channel, uint64_t number, int from,
                           int to)
{
    char name[96] = "";
    snprintf(name, sizeof name, "/%c.%llu.%d.%d", channel, (unsigned long long)number, from, to);
    return comm->folder + name;
}

void nccl_put(const struct ncclComm *comm, char channel, uint64_t number, int to,
              const struct nccl_head *head, const void *data, size_t bytes)
{
    std::vector<char> content(sizeof *head + bytes);
    memcpy(content.data(), head, sizeof *head);
    if (bytes)
        memcpy(content.data() + sizeof *head, data, bytes);
    publish(message(comm, channel, number, comm->rank, to), content);
}

bool nccl_is_there(const struct ncclComm *comm, char channel, uint64_t number, int from)
{
    return exists(message(comm, channel, number, from, comm->rank));
}

std::vector<char> nccl_take(const struct ncclComm *comm, char channel, uint64_t number, int from,
                            struct nccl_head *head)
{
    const std::string path = message(comm, channel, number, from, comm->rank);
    std::vector<char> content;
    char part[4096];
    *head = {};
    FILE *file = fopen(path.c_str(), "rb");
    if (!file || fread(head, sizeof *head, 1, file) != 1)
        standin_complain("nccl", "cannot read %s", path.c_str());
    for (size_t n = 1; file && n > 0;) {
        n = fread(part, 1, sizeof part, file);
        content.insert(content.end(), part, part + n);
    }
    if (file)
        fclose(file);
    unlink(path.c_str());
    return content;
}
