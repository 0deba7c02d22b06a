# How every target of this project is compiled and linked.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(SKUA_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wundef -Wvla)
set(SKUA_WARNINGS_C ${SKUA_WARNINGS} -Wconversion -Wstrict-prototypes -Wmissing-prototypes)

set(SKUA_INSTRUMENTATION "")
if(SKUA_SANITIZE)
    list(APPEND SKUA_INSTRUMENTATION -fsanitize=${SKUA_SANITIZE} -fno-omit-frame-pointer)
    if(SKUA_SANITIZE MATCHES "undefined")
        list(APPEND SKUA_INSTRUMENTATION -fno-sanitize-recover=undefined)
    endif()
endif()
if(SKUA_COVERAGE)
    list(APPEND SKUA_INSTRUMENTATION --coverage)
endif()

# C++ is in the tests only. What they are there to check is C, and googletest's macros take three
# times as long to compile with UBSan.
string(REPLACE "address,undefined" "address" SKUA_INSTRUMENTATION_CXX "${SKUA_INSTRUMENTATION}")

# Compile options of one target, C and C++ alike.
function(skua_compile_options target)
    target_compile_definitions(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:C>:_GNU_SOURCE> $<$<BOOL:${SKUA_DEBUG}>:SKUA_DEBUG>)
    target_compile_options(${target} PRIVATE
        "$<$<COMPILE_LANGUAGE:C>:${SKUA_WARNINGS_C}>"
        "$<$<COMPILE_LANGUAGE:CXX>:${SKUA_WARNINGS}>"
        "$<$<COMPILE_LANGUAGE:C>:${SKUA_INSTRUMENTATION}>"
        "$<$<COMPILE_LANGUAGE:CXX>:${SKUA_INSTRUMENTATION_CXX}>")
    if(SKUA_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
    # gcc warns at every atomic_thread_fence() under TSan, which does not model fences.
    if(SKUA_SANITIZE MATCHES "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C,CXX>:-Wno-tsan>)
    endif()
    set_target_properties(${target} PROPERTIES
        C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden)
endfunction()

# Link options of one target. A static library hands them on to what links it.
function(skua_link_options target)
    if(NOT SKUA_INSTRUMENTATION)
        return()
    endif()
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
        target_link_options(${target} INTERFACE $<BUILD_INTERFACE:${SKUA_INSTRUMENTATION}>)
    else()
        target_link_options(${target} PRIVATE ${SKUA_INSTRUMENTATION})
    endif()
endfunction()
