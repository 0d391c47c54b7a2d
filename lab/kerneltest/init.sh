#!/bin/sh
# The machine's first program: puts its root together.
export PATH=/bin
/bin/busybox --install -s /bin
mkdir /proc /tree /new /changes
mount -t proc proc /proc
while read -r module; do insmod "/modules/$module"; done </modules/order
options=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o ro,cache=loose,$options tree /tree
mount -t tmpfs tmpfs /changes
mkdir /changes/upper /changes/work
mount -t overlay -o lowerdir=/tree,upperdir=/changes/upper,workdir=/changes/work overlay /new
mkdir -p /new/lib/modules /new/tests
mount -t 9p -o ro,cache=loose,$options modules /new/lib/modules
mount -t 9p -o $options tests /new/tests
umount /proc
exec switch_root /new /tests/guest.sh
