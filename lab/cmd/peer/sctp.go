package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// SCTP as far as it is spoken here (RFC 9260): a common header of ports, tag and checksum, and one
// chunk, INIT or INIT ACK. The text of an answer is the state cookie that an INIT ACK carries
// anyway.
const (
	sctpProtocol = 132
	chunkInit    = 1
	chunkInitAck = 2
	headerSize   = 12
	initSize     = 20
	cookieParam  = 7
	tag          = 0x70656572
)

type sctpPacket struct {
	from, to uint16
	tag      uint32
	chunk    byte
	cookie   string
}

func (p sctpPacket) marshal() []byte {
	padded := append([]byte(p.cookie), make([]byte, (4-len(p.cookie)%4)%4)...)
	size := initSize
	if p.cookie != "" {
		size += 4 + len(padded)
	}
	b := make([]byte, headerSize+size)
	binary.BigEndian.PutUint16(b[0:], p.from)
	binary.BigEndian.PutUint16(b[2:], p.to)
	binary.BigEndian.PutUint32(b[4:], p.tag)
	b[12] = p.chunk
	binary.BigEndian.PutUint16(b[14:], uint16(size))
	binary.BigEndian.PutUint32(b[16:], tag)   // initiate tag
	binary.BigEndian.PutUint32(b[20:], 1<<16) // receiver window
	binary.BigEndian.PutUint16(b[24:], 1)     // streams out
	binary.BigEndian.PutUint16(b[26:], 1)     // streams in
	binary.BigEndian.PutUint32(b[28:], 1)     // first TSN
	if p.cookie != "" {
		binary.BigEndian.PutUint16(b[32:], cookieParam)
		binary.BigEndian.PutUint16(b[34:], uint16(4+len(p.cookie)))
		copy(b[36:], padded)
	}
	// The checksum is little endian, unlike all else, and counts itself as zero.
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// parseSCTP understands what marshal makes.
func parseSCTP(b []byte) (sctpPacket, error) {
	if len(b) < headerSize+initSize {
		return sctpPacket{}, errors.New("too short")
	}
	sum := binary.LittleEndian.Uint32(b[8:])
	c := append([]byte(nil), b...)
	clear(c[8:12])
	if crc32.Checksum(c, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return sctpPacket{}, errors.New("wrong checksum")
	}
	p := sctpPacket{from: binary.BigEndian.Uint16(b), to: binary.BigEndian.Uint16(b[2:]),
		tag: binary.BigEndian.Uint32(b[16:]), chunk: b[12]}
	if len(b) > 36 && binary.BigEndian.Uint16(b[32:]) == cookieParam {
		if n := int(binary.BigEndian.Uint16(b[34:])); n >= 4 && 32+n <= len(b) {
			p.cookie = string(b[36 : 32+n])
		}
	}
	return p, nil
}

// serveSCTP answers INITs to a port. It listens on each address by itself: a raw socket cannot tell
// which one was asked.
func serveSCTP(name string, port int) error {
	addrs, err := localAddrs()
	if err != nil {
		return err
	}
	for _, ip := range addrs {
		conn, err := net.ListenIP(sctpNetwork(ip), &net.IPAddr{IP: ip})
		if err != nil {
			return err
		}
		go answerSCTP(conn, name, port)
	}
	return nil
}

func answerSCTP(conn *net.IPConn, name string, port int) {
	buffer := make([]byte, 2048)
	for {
		n, client, err := conn.ReadFromIP(buffer)
		if err != nil {
			return
		}
		p, err := parseSCTP(buffer[:n])
		if err != nil || p.chunk != chunkInit || int(p.to) != port {
			continue
		}
		reply := sctpPacket{from: p.to, to: p.from, tag: p.tag, chunk: chunkInitAck,
			cookie: answerText(name, port, client.IP.String())}
		_, _ = conn.WriteToIP(reply.marshal(), client)
	}
}

// sctpNetwork names the raw socket of an address's family.
func sctpNetwork(ip net.IP) string {
	if ip.To4() != nil {
		return fmt.Sprintf("ip4:%d", sctpProtocol)
	}
	return fmt.Sprintf("ip6:%d", sctpProtocol)
}

var sctpCount atomic.Int32

// askSCTP sends an INIT and waits for its INIT ACK.
func askSCTP(address string, deadline time.Time) (string, error) {
	to, err := net.ResolveUDPAddr("udp", address) // only for the splitting
	if err != nil {
		return "", err
	}
	conn, err := net.DialIP(sctpNetwork(to.IP), nil, &net.IPAddr{IP: to.IP})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	// The process id keeps apart those who ask from the same address, the counter the questions of
	// one.
	own := uint16(20000 + (os.Getpid()*16+int(sctpCount.Add(1)))%40000)
	_, err = conn.Write(sctpPacket{from: own, to: uint16(to.Port), chunk: chunkInit}.marshal())
	if err := errors.Join(err, conn.SetDeadline(deadline)); err != nil {
		return "", err
	}
	buffer := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFromIP(buffer) // Read would leave the IPv4 header on
		if err != nil {
			return "", err
		}
		p, err := parseSCTP(buffer[:n])
		if err == nil && p.chunk == chunkInitAck && p.to == own && int(p.from) == to.Port {
			return p.cookie, nil
		}
	}
}
