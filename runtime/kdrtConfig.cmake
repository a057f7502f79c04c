# find_package(kdrt) brings kdrt::kdrt, the shared library, and kdrt::kdrt_static.
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/kdrtTargets.cmake)
