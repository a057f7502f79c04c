# How our C is compiled, wherever it is: targets link with kd_flags.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH kd_source_dir)

add_library(kd_flags INTERFACE)
target_compile_definitions(kd_flags INTERFACE _POSIX_C_SOURCE=200809L)
target_compile_options(kd_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -Wswitch-enum -Wmissing-prototypes -Wstrict-prototypes -Wundef -Wwrite-strings -Wvla -Werror
  -ffp-contract=off -fmacro-prefix-map=${kd_source_dir}/=)
target_include_directories(kd_flags INTERFACE ${kd_source_dir})
