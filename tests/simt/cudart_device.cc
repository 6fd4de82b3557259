/* Stand-in of cudart: devices and their properties. */
#include <stdio.h>
#include <string.h>

#include "tests/simt/stream.hh"

using namespace simt;

extern "C" {

cudaError_t cudaDriverGetVersion(int *version)
{
    entry locked;
    if (!version)
        return keep(cudaErrorInvalidValue);
    *version = option("SIMT_NO_DRIVER", 0) ? 0 : CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    entry locked;
    if (!version)
        return keep(cudaErrorInvalidValue);
    *version = CUDART_VERSION;
    return cudaSuccess;
}

/* Without a driver the real one leaves *count as it was. */
cudaError_t cudaGetDeviceCount(int *count)
{
    entry locked;
    if (!count)
        return keep(cudaErrorInvalidValue);
    cudaError_t error = planned_failure(cudaErrorUnknown);
    if (error == cudaSuccess || error == cudaErrorNoDevice)
        *count = n_devices();
    return keep(error);
}

static bool is_device(int device)
{
    return device >= 0 && device < n_devices();
}

cudaError_t cudaSetDevice(int device)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorUnknown);
    if (error != cudaSuccess)
        return keep(error);
    if (!is_device(device))
        return keep(cudaErrorInvalidDevice);
    current_device() = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    entry locked;
    if (!device)
        return keep(cudaErrorInvalidValue);
    *device = current_device();
    return cudaSuccess;
}

/* As an H100 answers, where anybody might ask. */
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *made, int device)
{
    entry locked;
    if (!made || !is_device(device))
        return keep(made ? cudaErrorInvalidDevice : cudaErrorInvalidValue);
    cudaError_t error = planned_failure(cudaErrorUnknown);
    if (error != cudaSuccess)
        return keep(error);
    memset(made, 0, sizeof(*made));
    snprintf(made->name, sizeof(made->name), "emulated device %d", device);
    made->totalGlobalMem = device_memory_bytes();
    made->sharedMemPerBlock = max_shared_bytes;
    made->regsPerBlock = 65536;
    made->warpSize = warp_size;
    made->maxThreadsPerBlock = max_block_threads;
    made->maxThreadsDim[0] = made->maxThreadsDim[1] = 1024;
    made->maxThreadsDim[2] = 64;
    made->maxGridSize[0] = INT32_MAX;
    made->maxGridSize[1] = made->maxGridSize[2] = 65535;
    made->major = 9;
    made->minor = 0;
    made->multiProcessorCount = 4;
    made->maxThreadsPerMultiProcessor = 2048;
    made->unifiedAddressing = 1;
    made->concurrentKernels = 1;
    made->asyncEngineCount = 1;
    made->l2CacheSize = 50 << 20;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    entry locked;
    struct cudaDeviceProp properties;
    cudaError_t error =
        value ? cudaGetDeviceProperties(&properties, device) : cudaErrorInvalidValue;
    if (error != cudaSuccess)
        return keep(error);
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
        *value = properties.maxThreadsPerBlock;
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)properties.sharedMemPerBlock;
        return cudaSuccess;
    case cudaDevAttrWarpSize:
        *value = properties.warpSize;
        return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
        *value = properties.multiProcessorCount;
        return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = properties.maxThreadsPerMultiProcessor;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
        *value = properties.major;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
        *value = properties.minor;
        return cudaSuccess;
    case cudaDevAttrMaxGridDimX:
        *value = properties.maxGridSize[0];
        return cudaSuccess;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
        *value = properties.maxGridSize[1];
        return cudaSuccess;
    case cudaDevAttrL2CacheSize:
        *value = properties.l2CacheSize;
        return cudaSuccess;
    case cudaDevAttrUnifiedAddressing:
        *value = 1;
        return cudaSuccess;
    case cudaDevAttrMemoryPoolsSupported:
        *value = 0;
        return cudaSuccess;
    default:
        return keep(cudaErrorNotSupported);
    }
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    entry locked;
    if (least)
        *least = 0;
    if (greatest)
        *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer)
{
    entry locked;
    if (!can || !is_device(device) || !is_device(peer))
        return keep(cudaErrorInvalidDevice);
    *can = device != peer;
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags)
{
    entry locked;
    if (!is_device(peer) || peer == current_device() || flags)
        return keep(cudaErrorInvalidDevice);
    if (may_access(current_device(), peer))
        return keep(cudaErrorPeerAccessAlreadyEnabled);
    allow_access(current_device(), peer, true);
    return cudaSuccess;
}

cudaError_t cudaDeviceDisablePeerAccess(int peer)
{
    entry locked;
    if (!is_device(peer) || !may_access(current_device(), peer))
        return keep(cudaErrorPeerAccessNotEnabled);
    allow_access(current_device(), peer, false);
    return cudaSuccess;
}

cudaError_t cudaDeviceSetLimit(enum cudaLimit, size_t)
{
    entry locked;
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *, enum cudaFuncAttribute, int)
{
    entry locked;
    return cudaSuccess;
}
}
