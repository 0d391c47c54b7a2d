package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

func serveTCP(name string, port int) error {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				// The question first: closing with unread data would reset the connection and lose
				// the answer.
				buffer := make([]byte, 16)
				if _, err := conn.Read(buffer); err == nil {
					fmt.Fprint(conn, answerText(name, port, conn.RemoteAddr().(*net.TCPAddr).IP.String()))
				}
			}()
		}
	}()
	return nil
}

// serveUDP answers from the address that was asked, whatever the route back: on a container with
// two networks the kernel's own choice would be the address of the network with the default route.
func serveUDP(name string, port int) error {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{Port: port}) // one socket for both families
	if err != nil {
		return err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = raw.Control(func(fd uintptr) {
		optErr = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1)
	})
	if err := errors.Join(err, optErr); err != nil {
		return err
	}
	go answerUDP(conn, name, port)
	return nil
}

// Where struct in6_pktinfo, the only control message asked for, has its interface index: behind
// cmsghdr and address.
const pktinfoIndex, pktinfoEnd = 32, 36

func answerUDP(conn *net.UDPConn, name string, port int) {
	buffer, control := make([]byte, 512), make([]byte, 128)
	for {
		_, n, _, client, err := conn.ReadMsgUDP(buffer, control)
		if err != nil {
			return
		}
		if n >= pktinfoEnd {
			clear(control[pktinfoIndex:pktinfoEnd]) // the source address only: routes choose the interface
		}
		_, _, _ = conn.WriteMsgUDP([]byte(answerText(name, port, client.IP.String())), control[:n], client)
	}
}

// localAddrs are the addresses of this namespace, link-local ones left out.
func localAddrs() ([]net.IP, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var found []net.IP
	for _, a := range all {
		if prefix, ok := a.(*net.IPNet); ok && !prefix.IP.IsLinkLocalUnicast() {
			found = append(found, prefix.IP)
		}
	}
	return found, nil
}

// serveGroup joins a multicast group on the interface that has an address, and answers from there.
func serveGroup(name, address string) error {
	group, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return err
	}
	device, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	conn, err := net.ListenMulticastUDP("udp", device, group)
	if err != nil {
		return err
	}
	// Without control messages: a group is no address to answer from.
	go answerUDP(conn, name, group.Port)
	return nil
}

// askGroup sends to a group and takes the first answer, from whomever it comes.
func askGroup(address string, deadline time.Time) (string, error) {
	group, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return "", err
	}
	if group.IP.To4() == nil {
		group.Zone = "eth0"
	}
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_, err = conn.WriteToUDP([]byte("?"), group)
	if err := errors.Join(err, conn.SetDeadline(deadline)); err != nil {
		return "", err
	}
	return readText(conn)
}
