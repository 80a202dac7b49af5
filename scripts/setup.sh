# shellcheck shell=bash
# The set-up shared by `repro`, `test` and `.ci/run`: finds or installs libtorch, installs Python packages
# for the tests, builds the program. docs/setup.md tells the whole story.
#
# To be sourced by a script that runs under `set -euo pipefail` and has set `root` to the checkout.
# Everything here talks on stderr only: stdout belongs to the program and to the tests.

: "${root:?scripts/setup.sh is sourced by ./repro, ./test or .ci/run}"

torch_version=2.11.0
# What libtorch_cpu.so links to, even where it never touches a GPU. The other 3.6 GB of NVIDIA packages
# that PyTorch asks for are only wanted where there is a driver.
torch_cpu_packages=("torch==$torch_version" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)
# Not one version of NumPy: none is for all of Python 3.10 to 3.14.
test_packages=(polars==2.1.0 pyarrow==26.0.1 "numpy>=2.2,<2.5")
# A server of buckets for the tests of remotes.
s3_packages=("moto[s3]==5.2.5" flask==3.1.3 flask-cors==6.0.5)

# One range, because newer ones are not made for Python 3.10. 1.24 is the oldest that the program can load.
onnxruntime_package="onnxruntime>=1.24,<1.33"

# Exit codes of the set-up; those of the program and of `cargo test` are passed on as they are.
setup_failed=69
build_failed=70

# A relative CARGO_TARGET_DIR counts from the user's folder; cargo is started in another.
target_dir=${CARGO_TARGET_DIR:-$root/target}
[[ $target_dir == /* ]] || target_dir=$PWD/$target_dir
binary=$target_dir/release/repro
# Its time is when the last build began; its lines are the libtorch linked to and the state of the binary.
built_stamp=$target_dir/release/repro.built
# The libtorch that the target folder was built with.
chosen_libtorch=$target_dir/repro.libtorch

say() { printf 'repro: %s\n' "$*" >&2; }

# fail CODE PROBLEM [REMEDY…]: one line each.
fail() {
    local code=$1 line
    shift
    say "error: $1"
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit "$code"
}

# --- Waiting for something long ------------------------------------------------------------------

# run_watched DETAIL OUTPUT ERRORS COMMAND…: runs the command with its output in two files (they may be one)
# and says every 20 seconds how far it is, in the words that the function DETAIL prints. The command gets a
# process group of its own, so that Ctrl-C and `kill` reach its children too.
run_watched() {
    local detail=$1 output=$2 errors=$3 child since=$SECONDS status=0 next seconds
    local interval=${REPRO_PROGRESS_SECONDS:-20}
    shift 3
    : >"$output"
    : >"$errors"
    set -m
    "$@" </dev/null >>"$output" 2>>"$errors" &
    child=$!
    set +m
    trap 'kill -TERM -- "-$child" 2>/dev/null; exit 130' INT
    trap 'kill -TERM -- "-$child" 2>/dev/null; exit 143' TERM HUP
    next=$((since + interval))
    while kill -0 "$child" 2>/dev/null; do
        seconds=$((SECONDS - since))
        if ((SECONDS >= next)); then
            say "$("$detail") ($((seconds / 60)) min $((seconds % 60)) s)"
            next=$((next + interval))
        fi
        # What is soon done should not wait for us.
        if ((seconds < 10)); then sleep 0.1; else sleep 1; fi
    done
    wait "$child" || status=$?
    trap - INT TERM HUP
    return "$status"
}

# --- Python packages -----------------------------------------------------------------------------

check_pip() {
    command -v python3 >/dev/null ||
        fail "$setup_failed" "python3 was not found; it is needed to install $1" \
            "install Python 3.10 or newer with pip (Debian, Ubuntu: apt install python3 python3-pip)" "$2"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$setup_failed" "$(python3 --version 2>&1) is too old to install $1" \
            "put a Python 3.10 or newer first on PATH" "$2"
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "$setup_failed" "$(command -v python3) has no pip; it is needed to install $1" \
            "install it (Debian, Ubuntu: apt install python3-pip; elsewhere: python3 -m ensurepip --user)," \
            "or activate a virtual environment that has it" "$2"
}

# check_disk FOLDER MEGABYTES WHAT: fails before the download rather than in the middle of it.
check_disk() {
    local free
    free=$(df -Pk -- "$1" | awk 'NR == 2 { print int($4 / 1000) }')
    ((free >= $2)) ||
        fail "$setup_failed" "$3 takes $2 MB in $1 for a while, and only $free MB are free" \
            "free some space, or move the checkout to a larger disk"
}

# What the end of a pip log means, as a remedy.
explain_pip() {
    local log=$1
    if grep -Eq 'No space left' "$log"; then
        echo "the disk is full"
    elif grep -Eq 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError' "$log"; then
        echo "the package index could not be reached: check the network or the proxy (HTTPS_PROXY), then try again"
    elif grep -q 'externally-managed-environment' "$log"; then
        echo "this pip refuses to install: try again in a virtual environment (python3 -m venv, then activate it)"
    elif grep -q 'No matching distribution' "$log"; then
        echo "there is no build for $(python3 --version 2>&1) on $(uname -sm): try Python 3.10 to 3.14"
    else
        echo "the log's last lines: $(tail -n 3 "$log" | tr '\n' ' ')"
    fi
}

# pip_install FOLDER STAMP MEGABYTES CHECK OTHERWISE PIP-ARGUMENTS…
# Installs into FOLDER.partial, runs CHECK on it, writes the stamp last and renames. Whatever is interrupted
# leaves no FOLDER, and a second launcher waits for the first. OTHERWISE says how to do without.
pip_install() {
    local folder=$1 stamp=$2 megabytes=$3 check=$4 otherwise=$5 lock reason
    local name=${folder##*/} partial=$folder.partial log=$folder.log
    shift 5
    check_pip "$name" "$otherwise"
    (: >>"$folder.lock") 2>/dev/null || fail "$setup_failed" "cannot write to ${folder%/*}" "$otherwise"
    exec {lock}>>"$folder.lock"
    if ! flock --nonblock "$lock"; then
        say "another set-up is installing $name; waiting for it"
        flock "$lock"
    fi
    if ! is_stamped "$folder" "$stamp"; then
        rm -rf -- "$partial"
        check_disk "${folder%/*}" "$megabytes" "installing $name"
        # pip unpacks in TMPDIR and then moves: on one disk that is a rename, elsewhere a second copy.
        mkdir -p "$partial/tmp"
        abandon() {
            rm -rf -- "$partial"
            fail "$setup_failed" "$@" "the whole log: $log" "$otherwise"
        }
        # shellcheck disable=SC2329
        installed_size() { echo "installing $name: $(du -sm "$partial" 2>/dev/null | cut -f 1) MB so far"; }
        PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 TMPDIR="$partial/tmp" run_watched installed_size "$log" "$log" \
            python3 -m pip install --no-input --no-compile --only-binary :all: --progress-bar off \
            --disable-pip-version-check --no-warn-script-location --target "$partial" "$@" ||
            abandon "pip could not install $name" "$(explain_pip "$log")"
        rm -rf -- "$partial/tmp"
        reason=$("$check" "$partial") || abandon "pip finished, but $name is not usable: $reason"
        printf '%s\n' "$stamp" >"$partial/.complete"
        rm -rf -- "$folder"
        mv -T -- "$partial" "$folder"
    fi
    exec {lock}>&-
}

# is_stamped FOLDER STAMP: whether the folder was completed with just this stamp.
is_stamped() { [[ -f $1/.complete && $(<"$1/.complete") == "$2" ]]; }

# --- libtorch ------------------------------------------------------------------------------------

has_nvidia_driver() {
    # A cluster's login node often has no driver although its jobs will: REPRO_CUDA=1 says so.
    case ${REPRO_CUDA-} in
        1) return 0 ;;
        0) return 1 ;;
    esac
    [[ -e /proc/driver/nvidia/version ]] && return 0
    local libraries
    libraries=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null || true)
    [[ $libraries == *libcuda.so.1* ]]
}

# is_torch FOLDER [VERSION-PATTERN]: prints what is amiss and fails if the folder is no libtorch to build with.
is_torch() {
    local folder=$1 pattern=${2:-} file
    for file in lib/libtorch_cpu.so lib/libtorch.so lib/libc10.so include/torch/csrc/api/include/torch/torch.h; do
        [[ -e $folder/$file ]] || { echo "$folder/$file is missing"; return 1; }
    done
    [[ -z $pattern ]] || grep -Eq "^__version__ = '$pattern" "$folder/version.py" 2>/dev/null || {
        echo "$folder/version.py does not say version $torch_version"
        return 1
    }
}

# check_libtorch FOLDER: FOLDER/torch is the right version, and its libraries really load.
check_libtorch() {
    is_torch "$1/torch" "${torch_version//./\\.}([+']|\$)" || return 1
    # A folder that was filled on another machine may do without Python here.
    command -v python3 >/dev/null || return 0
    python3 -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1/torch/lib/libtorch_cpu.so" 2>&1 |
        tail -n 1
    return "${PIPESTATUS[0]}"
}

# A folder that someone filled by hand with pip serves as well as one of ours: stamp it if it checks out.
adopt_libtorch() {
    local kind=cpu reason
    [[ -d .libtorch && ! -e .libtorch/.complete ]] || return 0
    if reason=$(check_libtorch "$PWD/.libtorch"); then
        [[ -d .libtorch/nvidia/cudnn ]] && kind=cuda
        printf 'torch %s %s\n' "$torch_version" "$kind" >.libtorch/.complete
    else
        say "the folder .libtorch is not complete ($reason); installing it again"
    fi
}

install_libtorch() {
    local kind otherwise="or set LIBTORCH to the torch folder of a PyTorch $torch_version that you have"
    [[ -L $root/.libtorch ]] &&
        fail "$setup_failed" "$root/.libtorch is a link to a folder that is not a PyTorch $torch_version" "remove the link, $otherwise"
    if has_nvidia_driver; then
        kind=cuda
        say "installing libtorch $torch_version with CUDA into .libtorch: about 2.7 GB to download, 4.8 GB on disk (NVIDIA driver found)"
        pip_install "$root/.libtorch" "torch $torch_version $kind" 8000 check_libtorch "$otherwise" "torch==$torch_version"
    else
        kind=cpu
        say "installing libtorch $torch_version for the CPU into .libtorch: about 550 MB to download, 1.2 GB on disk (no NVIDIA driver found)"
        pip_install "$root/.libtorch" "torch $torch_version $kind" 2000 check_libtorch "$otherwise" --no-deps "${torch_cpu_packages[@]}"
    fi
}

# Sets `libtorch` to the folder to build with: the variable LIBTORCH; else what the target folder was built
# with, so that switching environments on and off does not rebuild; else an active Python environment's;
# else .libtorch, installed if need be.
find_libtorch() {
    local reason folder pattern='' own=$root/.libtorch/torch
    libtorch=
    if [[ -n ${LIBTORCH-} ]]; then
        libtorch=$(absolute "$LIBTORCH")
        # An unpacked libtorch archive has no version.py; the bindings' own build script checks that one.
        if [[ -e $libtorch/version.py ]]; then pattern='2\.11\.'; fi
        reason=$(is_torch "$libtorch" "$pattern") ||
            fail "$setup_failed" "LIBTORCH is set to $LIBTORCH, but $reason" \
                "point it at the torch folder of a PyTorch $torch_version (it has lib/ and include/)," \
                "or unset it: ./repro then finds or installs one"
        return
    fi
    if [[ -f $chosen_libtorch ]]; then
        libtorch=$(<"$chosen_libtorch")
        if [[ $libtorch != "$own" ]] && is_torch "$libtorch" >/dev/null; then return; fi
    fi
    if [[ $libtorch != "$own" || ! -e $own ]]; then
        for folder in {"${VIRTUAL_ENV-}","${CONDA_PREFIX-}"}/lib/python3.*/site-packages/torch; do
            if is_torch "$folder" '2\.11\.' >/dev/null; then
                libtorch=$folder
                say "using the PyTorch of the active environment: $folder"
                return
            fi
        done
    fi
    libtorch=$own
    (cd "$root" && adopt_libtorch)
    case $(cat "$root/.libtorch/.complete" 2>/dev/null) in
        "torch $torch_version cuda") ;;
        "torch $torch_version cpu")
            if has_nvidia_driver; then
                say "note: this machine has an NVIDIA driver, but .libtorch is for the CPU only; for CUDA: rm -r .libtorch, then ./repro again"
            fi
            ;;
        *) install_libtorch ;;
    esac
}

absolute() { if [[ $1 == /* ]]; then printf '%s' "${1%/}"; else printf '%s' "$PWD/${1%/}"; fi; }

# --- The program ---------------------------------------------------------------------------------

# Cargo finds .cargo/config.toml and rust-toolchain.toml by its working directory.
in_checkout() { (cd "$root" && CARGO_TARGET_DIR=$target_dir "$@"); }

check_build_tools() {
    local cargo_home=${CARGO_HOME:-${HOME-}/.cargo}
    # A shell that is not a login shell often lacks this folder.
    command -v cargo >/dev/null || PATH=$PATH:$cargo_home/bin
    command -v cargo >/dev/null ||
        fail "$setup_failed" "cargo was not found; it builds the program" \
            "install Rust from https://rustup.rs, open a new shell, and try again"
    command -v "${CXX:-c++}" >/dev/null ||
        fail "$setup_failed" "no C++ compiler was found (${CXX:-c++}); the bindings to libtorch need one" \
            "install one (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++)"
}

# Makes cargo see the choice. The folder in the checkout is already the default in .cargo/config.toml, so a
# plain `cargo test` and ours agree on the environment and share one build.
prepare_cargo() {
    # First, so that nobody downloads for minutes only to hear that there is no compiler.
    check_build_tools
    find_libtorch
    unset LIBTORCH_USE_PYTORCH LIBTORCH_STATIC CARGO_BUILD_TARGET
    if [[ $libtorch == "$root/.libtorch/torch" ]]; then unset LIBTORCH; else export LIBTORCH=$libtorch; fi
    mkdir -p "$target_dir/release" || fail "$setup_failed" "cannot write to $target_dir" "set CARGO_TARGET_DIR to a folder that you can write to"
    printf '%s\n' "$libtorch" >"$chosen_libtorch"
}

# What the binary is made of.
sources=(src templates data/models build.rs Cargo.toml Cargo.lock .cargo rust-toolchain.toml)

# Whether the binary can be run as it is. No cargo, no Python: this decides how fast every call starts.
is_built() {
    local linked state path existing=()
    [[ -x $binary && -f $built_stamp ]] || return 1
    { IFS= read -r linked && IFS= read -r state; } <"$built_stamp" || return 1
    [[ -e $linked/lib/libtorch_cpu.so ]] || return 1
    [[ -z ${LIBTORCH-} || $(absolute "$LIBTORCH") == "$linked" ]] || return 1
    # Built by hand since then, with other features perhaps.
    [[ $(stat -c '%y %s' "$binary") == "$state" ]] || return 1
    for path in "${sources[@]}"; do
        if [[ -e $root/$path ]]; then existing+=("$root/$path"); fi
    done
    [[ -z $(find "${existing[@]}" -newer "$built_stamp" -print -quit) ]]
}

build() {
    local started=$built_stamp.started status=0
    prepare_cargo
    if [[ ! -f $built_stamp ]]; then
        check_disk "$target_dir" 2000 "building the program"
        say "building the program: the first time all its libraries too, about 11 minutes on 2 cores; later builds take seconds to minutes"
    fi
    # Taken before the build: what is edited while it runs counts as newer.
    : >"$started"
    if [[ -t 2 ]]; then
        in_checkout cargo build --release --locked >&2 || status=$?
    else
        build_with_log || status=$?
    fi
    ((status == 0)) || fail "$build_failed" "the build failed (cargo's messages stand above)"
    [[ -x $binary ]] || fail "$build_failed" "cargo built the program, but not as $binary" "is build.target or build.target-dir set in a cargo configuration file? unset it"
    { printf '%s\n' "$libtorch" && stat -c '%y %s' "$binary"; } >"$built_stamp.new"
    touch -r "$started" "$built_stamp.new"
    mv -- "$built_stamp.new" "$built_stamp"
    rm -f -- "$started"
}

# Where there is no terminal for cargo's progress bar: a line now and then; on failure all that cargo said.
build_with_log() {
    local log=$target_dir/repro-build.log finished=$target_dir/repro-build.json status=0 total
    total=$(in_checkout cargo tree --locked --edges normal,build --prefix none --format '{p}' 2>/dev/null |
        sed 's/ (\*)$//' | sort -u | wc -l) || true
    # shellcheck disable=SC2329
    crates_done() {
        local count latest
        # A crate's build script is finished long before the crate.
        count=$(grep '"compiler-artifact"' "$finished" | grep -v '"kind":\["custom-build"\]' |
            grep -o '"package_id":"[^"]*"' | sort -u | wc -l)
        latest=$(sed -n 's/^ *Compiling \([^ ]*\).*/\1/p' "$log" | tail -n 1)
        if [[ -z $latest ]] && tail -n 1 "$log" | grep -q 'Blocking waiting'; then
            echo "building: waiting for another cargo to finish"
        else
            echo "building: $count of ${total/#0/an unknown number of} crates done${latest:+, $latest begun}"
        fi
    }
    run_watched crates_done "$finished" "$log" \
        in_checkout cargo build --release --locked --message-format=json-render-diagnostics || status=$?
    if ((status != 0)); then
        grep -Ev '^ *(Compiling|Downloading|Downloaded|Updating|Blocking) ' "$log" >&2 || true
    fi
    return "$status"
}

# --- ONNX Runtime --------------------------------------------------------------------------------

# The library in a folder of Python packages; nothing where it is not there.
onnxruntime_in() { compgen -G "$1/onnxruntime/capi/libonnxruntime.so.*" | head -n 1 || true; }

check_onnxruntime() {
    [[ -n $(onnxruntime_in "$1") ]] || { echo "onnxruntime/capi/libonnxruntime.so.* is missing"; return 1; }
}

# Sets ORT_DYLIB_PATH to the library that runs networks of ONNX files: what it is set to; else an active Python
# environment's; else that of .onnxruntime, installed if need be.
prepare_onnxruntime() {
    local folder library
    [[ -z ${ORT_DYLIB_PATH-} ]] || return 0
    for folder in {"${VIRTUAL_ENV-}","${CONDA_PREFIX-}"}/lib/python3.*/site-packages; do
        library=$(onnxruntime_in "$folder")
        if [[ -n $library ]]; then
            export ORT_DYLIB_PATH=$library
            return
        fi
    done
    if ! is_stamped "$root/.onnxruntime" "$onnxruntime_package"; then
        say "installing ONNX Runtime into .onnxruntime: about 30 MB to download, 90 MB on disk"
        pip_install "$root/.onnxruntime" "$onnxruntime_package" 300 check_onnxruntime \
            "or set ORT_DYLIB_PATH to the libonnxruntime.so of an ONNX Runtime that you have" --no-deps "$onnxruntime_package"
    fi
    ORT_DYLIB_PATH=$(onnxruntime_in "$root/.onnxruntime")
    export ORT_DYLIB_PATH
}

# names_onnx FILE…: whether an experiment file, or one of the files that it includes, has a network of an ONNX file.
names_onnx() {
    local file part
    for file in "$@"; do
        [[ $file == *.toml && -f $file ]] || continue
        if grep -Eqs "^[^#]*kind *= *[\"']onnx[\"']" "$file"; then return 0; fi
        for part in $(grep -Es '^ *include *=' "$file" | grep -Eo '"[^"]+\.toml"' | tr -d '"'); do
            if names_onnx "$(dirname -- "$file")/$part"; then return 0; fi
        done
    done
    return 1
}

# --- Python for the tests ------------------------------------------------------------------------

# Sets REPRO_TEST_PYTHONPATH, where the tests that read the cache from Python find polars, pyarrow and numpy; one
# that is already set wins.
prepare_test_python() {
    local stamp
    [[ -z ${REPRO_TEST_PYTHONPATH-} ]] || return 0
    export REPRO_TEST_PYTHONPATH=$root/.python
    # pyarrow's build is for one minor version of Python only.
    stamp="${test_packages[*]} $(python3 -c 'import sys; print(*sys.version_info[:2], sep=".")' 2>/dev/null || true)"
    is_stamped "$REPRO_TEST_PYTHONPATH" "$stamp" && return
    say "installing ${test_packages[*]} into .python, to read the cache from Python in the tests: about 130 MB to download, 410 MB on disk"
    pip_install "$REPRO_TEST_PYTHONPATH" "$stamp" 1000 check_test_python \
        "or set REPRO_TEST_PYTHONPATH to a folder with these packages" "${test_packages[@]}"
}

check_test_python() {
    PYTHONPATH=$1 python3 -c 'import numpy, polars, pyarrow' 2>&1 | tail -n 1
    return "${PIPESTATUS[0]}"
}

# Sets REPRO_TEST_S3_PYTHONPATH, where the tests of remotes find a server of buckets; one that is already set wins.
prepare_test_s3() {
    local stamp
    [[ -z ${REPRO_TEST_S3_PYTHONPATH-} ]] || return 0
    export REPRO_TEST_S3_PYTHONPATH=$root/.python-s3
    stamp="${s3_packages[*]} $(python3 -c 'import sys; print(*sys.version_info[:2], sep=".")' 2>/dev/null || true)"
    is_stamped "$REPRO_TEST_S3_PYTHONPATH" "$stamp" && return
    say "installing ${s3_packages[*]} into .python-s3, a server of buckets for the tests: about 30 MB to download, 80 MB on disk"
    pip_install "$REPRO_TEST_S3_PYTHONPATH" "$stamp" 300 check_test_s3 \
        "or set REPRO_TEST_S3_PYTHONPATH to a folder with these packages" "${s3_packages[@]}"
}

check_test_s3() {
    PYTHONPATH=$1 python3 -c 'import moto.server' 2>&1 | tail -n 1
    return "${PIPESTATUS[0]}"
}
