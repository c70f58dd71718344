#!/usr/bin/env bash
# The kernel for AVX-512 where the processor has none, under emulation: the bits of its crops beside those of this machine.
# Bochs emulates a whole machine, which starts Debian's kernel with a system of one script. That takes some ten minutes.
# Needs CMake, Python with NumPy, a C++ compiler, and Debian's bochs, bochsbios, vgabios, isolinux, syslinux-common,
# xorriso, busybox-static and cpio; it downloads a kernel with apt-get.
set -euo pipefail
. "$(dirname "$0")/programs.sh"

programs static -DCMAKE_EXE_LINKER_FLAGS=-static
# Not float16 crops: VCVTPS2PH of Bochs 2.7 does not round all ties to even, as every processor does.
(cd "$root" && "$python" -m tests.native.calls "$build/calls" f4 f8)
"$build/static/msroi_replay" "$build/calls" > "$build/here.txt"

mkdir -p "$build/system/bin" "$build/system/dev" "$build/system/proc" "$build/disc/isolinux" "$build/kernel"
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
(cd "$build/kernel" && apt-get download -q "$kernel" > "$build/log" 2>&1) || { cat "$build/log"; exit 1; }
dpkg -x "$build"/kernel/*.deb "$build/kernel"
cp "$build"/kernel/boot/vmlinuz-* "$build/disc/vmlinuz"

cp /bin/busybox "$build/static/msroi_replay" "$build/system/bin"
cp "$build/calls" "$build/system/calls"
cat > "$build/system/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox grep -m1 -o -w avx512vl /proc/cpuinfo
echo "== begin"
/bin/msroi_replay /calls
echo "== end $?"
/bin/busybox poweroff -f
END
chmod +x "$build/system/init"
(cd "$build/system" && find . | cpio -o -H newc --quiet | gzip -1 > "$build/disc/system")

cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$build/disc/isolinux"
# Without XSAVES: Bochs states another size for what it saves than Linux computes, which then leaves AVX out.
cat > "$build/disc/isolinux/isolinux.cfg" <<'END'
DEFAULT linux
PROMPT 0
LABEL linux
  KERNEL /vmlinuz
  INITRD /system
  APPEND console=ttyS0,115200 quiet mitigations=off clearcpuid=xsavec,xsaves tsc=reliable noapic
END
xorriso -as mkisofs -quiet -o "$build/disc.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
  -boot-load-size 4 -boot-info-table "$build/disc" 2> "$build/log" || { cat "$build/log"; exit 1; }
cat > "$build/machine" <<END
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model=corei7_skylake_x, count=1, ips=50000000, ignore_bad_msrs=1
memory: guest=1024, host=1024
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=$build/disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$build/serial
log: $build/bochs.log
clock: sync=none
sound: driver=dummy
END
echo c | timeout 3600 bochs -q -f "$build/machine" > "$build/log" 2>&1 || true  # it ends with 1 when the power is off
tr -d '\r' < "$build/serial" > "$build/said"
grep -q '^avx512vl' "$build/said" && grep -q '^== end 0' "$build/said" || { tail -20 "$build/log" "$build/said"; exit 1; }
sed '1,/^== begin/d; /^== end/,$d' "$build/said" > "$build/AVX-512.txt"
compare AVX-512
