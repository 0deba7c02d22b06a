# What is installed: libraries, headers, CMake package, pkg-config file, licence. All relocatable.
include(CMakePackageConfigHelpers)

set(SKUA_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/skua")

install(TARGETS skua EXPORT skuaTargets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
# In a file of its own, because only who links it needs liburing's development files.
install(TARGETS skua_static EXPORT skuaStaticTargets
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY include/skua DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h" PATTERN "tls.h" EXCLUDE)
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")

install(EXPORT skuaTargets NAMESPACE skua:: DESTINATION "${SKUA_CMAKE_DIR}")
install(EXPORT skuaStaticTargets NAMESPACE skua:: DESTINATION "${SKUA_CMAKE_DIR}")
configure_package_config_file(cmake/skuaConfig.cmake.in skuaConfig.cmake
                              INSTALL_DESTINATION "${SKUA_CMAKE_DIR}")
write_basic_package_version_file(skuaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/skuaConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/skuaConfigVersion.cmake"
        DESTINATION "${SKUA_CMAKE_DIR}")

# The prefix is found from where skua.pc lies, so an installed tree may be moved.
set(SKUA_PC_DIR "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    message(FATAL_ERROR "CMAKE_INSTALL_LIBDIR and CMAKE_INSTALL_INCLUDEDIR must be relative")
endif()
file(RELATIVE_PATH SKUA_PC_TO_PREFIX "/prefix/${SKUA_PC_DIR}" "/prefix")
configure_file(cmake/skua.pc.in skua.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/skua.pc" DESTINATION "${SKUA_PC_DIR}")

# TLS, where it was built: the component `tls` of the package, a pkg-config file of its own.
if(SKUA_HAS_TLS)
    install(TARGETS skua_tls EXPORT skuaTlsTargets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    install(TARGETS skua_tls_static EXPORT skuaTlsStaticTargets
            ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    install(FILES include/skua/tls.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/skua")
    install(EXPORT skuaTlsTargets NAMESPACE skua:: DESTINATION "${SKUA_CMAKE_DIR}")
    install(EXPORT skuaTlsStaticTargets NAMESPACE skua:: DESTINATION "${SKUA_CMAKE_DIR}")
    configure_file(cmake/skua_tls.pc.in skua_tls.pc @ONLY)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/skua_tls.pc" DESTINATION "${SKUA_PC_DIR}")
endif()
