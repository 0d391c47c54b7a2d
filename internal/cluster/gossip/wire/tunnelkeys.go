package wire

import "vxlan-driver/internal/cluster"

// flagTakesIP is the only flag of a key so far. A reader ignores the others.
const flagTakesIP = 1

// putTunnelKeys writes the keys of an encrypted network.
func (w *writer) putTunnelKeys(keys []cluster.TunnelKey) {
	if len(keys) > 0 {
		w.putField(tagTunnelKeys, func(w *writer) { putList(w, keys, w.putTunnelKey) })
	}
}

func (w *writer) putTunnelKey(k cluster.TunnelKey) {
	w.putUint(k.Generation)
	w.putRaw(k.Public[:])
	w.putUint(uint64(k.Port))
	var flags uint64
	if k.TakesIP {
		flags |= flagTakesIP
	}
	w.putUint(flags)
}

func (r *reader) readTunnelKey() cluster.TunnelKey {
	k := cluster.TunnelKey{Generation: r.readUint(cluster.MaxGeneration)}
	k.Public = [32]byte(r.readRaw(len(k.Public)))
	k.Port = uint16(r.readUint(1<<16 - 1))
	k.TakesIP = r.readUint(1<<64-1)&flagTakesIP != 0
	return k
}
