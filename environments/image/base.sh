#!/usr/bin/env bash
# Makes a base image of Debian packages, for machines that can pull none: base.sh [NAME]
# Packages come by this machine's own apt, which checks their signatures. Nothing is installed here, and no script of theirs
# is run: a small root needs their files alone. libstdc++6 is for compiled Python packages. Takes a quarter of a minute. Needs Debian, and a Docker daemon.
set -euo pipefail
name=${1:-mod209-base}
packages=(base-files bash dash coreutils findutils sed grep libc-bin libstdc++6 ca-certificates procps python3-venv)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$work"/{lists,archives}/partial "$root"
: >"$work/status"  # as if nothing was installed, so that all that is needed comes
apt=(apt-get -qq -o "Dir::State::lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work"
  -o "Dir::Cache::archives=$work/archives" -o Debug::NoLocking=1)
[ "$(id -u)" -ne 0 ] || apt+=(-o APT::Sandbox::User=root)  # its own user cannot write below a folder of ours
"${apt[@]}" update
"${apt[@]}" --yes --no-install-recommends --download-only install "${packages[@]}"

for folder in bin sbin lib lib64; do  # Debian's merged /usr
  mkdir -p "$root/usr/$folder"
  ln -s "usr/$folder" "$root/$folder"
done
for package in "$work"/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --no-same-owner --keep-directory-symlink
done
# What the packages' scripts would have done.
ln -sf dash "$root/usr/bin/sh"
printf 'root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$root/etc/nsswitch.conf"
mkdir -p "$root/etc/ssl/certs"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
find "$root" -perm /6000 -type f -exec chmod ug-s {} +  # nobody gets more rights in there
rm -rf "$root"/usr/share/{doc,man,locale,info,lintian}
chmod 1777 "$root/tmp"
tar -C "$root" --owner=0 --group=0 --numeric-owner -c . | docker import --change 'CMD ["/bin/bash"]' - "$name" >/dev/null
docker run --rm --network none "$name" python3 -c 'import ensurepip, ssl, venv'
echo "$name"
