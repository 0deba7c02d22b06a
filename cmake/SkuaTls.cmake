# TLS: a library of its own, skua::tls (shared) and skua::tls_static, so that who does not want it
# needs no OpenSSL. It uses the public API of the main library only.
set(SKUA_TLS AUTO CACHE STRING "Build the TLS library: AUTO (if OpenSSL 3 is there), ON, OFF")
set_property(CACHE SKUA_TLS PROPERTY STRINGS AUTO ON OFF)

set(SKUA_HAS_TLS FALSE)
if(SKUA_TLS STREQUAL "OFF")
    return()
endif()
find_package(OpenSSL 3)
if(NOT OPENSSL_FOUND)
    if(NOT SKUA_TLS STREQUAL "AUTO")
        message(FATAL_ERROR "SKUA_TLS is ${SKUA_TLS}, but there is no OpenSSL 3 (Debian: libssl-dev)")
    endif()
    message(STATUS "skua_tls is not built: OpenSSL 3 is missing (Debian: libssl-dev)")
    return()
endif()
set(SKUA_HAS_TLS TRUE)

set(SKUA_TLS_SOURCES
    src/tls/tls_bio.c
    src/tls/tls_context.c
    src/tls/tls_error.c
    src/tls/tls_flow.c
    src/tls/tls_handshake.c
    src/tls/tls_info.c
    src/tls/tls_io.c
    src/tls/tls_names.c
    src/tls/tls_pem.c
    src/tls/tls_session.c
)
add_library(skua_tls_objects OBJECT ${SKUA_TLS_SOURCES})
target_include_directories(skua_tls_objects PRIVATE src include)
target_link_libraries(skua_tls_objects PRIVATE OpenSSL::SSL Threads::Threads)
set_target_properties(skua_tls_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
skua_compile_options(skua_tls_objects)

add_library(skua_tls SHARED)
add_library(skua::tls ALIAS skua_tls)
add_library(skua_tls_static STATIC)
add_library(skua::tls_static ALIAS skua_tls_static)
target_link_libraries(skua_tls PUBLIC skua)
target_link_libraries(skua_tls_static PUBLIC skua_static)
foreach(library skua_tls skua_tls_static)
    target_sources(${library} PRIVATE $<TARGET_OBJECTS:skua_tls_objects>)
    target_link_libraries(${library} PRIVATE OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
    set_target_properties(${library} PROPERTIES OUTPUT_NAME skua_tls LINKER_LANGUAGE C)
    skua_link_options(${library})
endforeach()

set_target_properties(skua_tls PROPERTIES
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
    EXPORT_NAME tls
    INSTALL_RPATH "$ORIGIN"
    LINK_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/src/skua_tls.map")
target_link_options(skua_tls PRIVATE
    "LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/src/skua_tls.map")
if(NOT SKUA_SANITIZE)
    target_link_options(skua_tls PRIVATE "LINKER:-z,defs")
endif()
set_target_properties(skua_tls_static PROPERTIES EXPORT_NAME tls_static)
