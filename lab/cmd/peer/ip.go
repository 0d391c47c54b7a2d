package main

import (
	"errors"
	"fmt"
	"net"
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
				// The question first: closing with unread data would reset the connection and lose the answer.
				buffer := make([]byte, 16)
				if _, err := conn.Read(buffer); err == nil {
					fmt.Fprint(conn, answer(name, port, conn.RemoteAddr().(*net.TCPAddr).IP.String()))
				}
			}()
		}
	}()
	return nil
}

// serveUDP listens on each address by itself, so that an answer leaves from the address that was asked: a wildcard socket
// on a container with two networks would answer from the one that the default route prefers.
func serveUDP(name string, port int) error {
	addrs, err := localAddrs()
	if err != nil {
		return err
	}
	for _, ip := range addrs {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip, Port: port})
		if err != nil {
			return err
		}
		go answerUDP(conn, name, port)
	}
	return nil
}

func answerUDP(conn *net.UDPConn, name string, port int) {
	buffer := make([]byte, 512)
	for {
		_, client, err := conn.ReadFromUDP(buffer)
		if err != nil {
			return
		}
		_, _ = conn.WriteToUDP([]byte(answer(name, port, client.IP.String())), client)
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
