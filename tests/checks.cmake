# The checks: what the compiler does not see. Each is a command of its own, named below, that can be
# run by hand from the top of the tree.
set(python Python3::Interpreter)

skua_check(layers ${python} tools/check_layers.py)
skua_check(sources ${python} tools/check_sources.py)
skua_check(docs ${python} tools/check_docs.py)
skua_check(style ${python} tools/check_style.py)
skua_check(exports ${python} tools/check_exports.py $<TARGET_FILE:skua>)
skua_check(selftest ${python} tools/check_selftest.py)
skua_check(sanitizers ${python} tests/sanitizer/run.py)
skua_check(format tools/check_format.sh)
skua_check(shell tools/check_shell.sh)
skua_check(tidy tools/check_tidy.sh "${PROJECT_BINARY_DIR}")
skua_check(headers tools/check_headers.sh)
skua_check(readme ${python} tools/check_readme.py $<TARGET_FILE:skua> ${CMAKE_C_COMPILER})
skua_check(install tools/check_install.sh "${PROJECT_BINARY_DIR}" ${CMAKE_C_COMPILER})
