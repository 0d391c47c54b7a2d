// Command peer is the server and client with which tests find out who reaches whom, and by which
// address.
//
//	peer serve NAME PROTOCOL/PORT[-PORT]…        answers each connection or datagram
//	peer ask [-t SECONDS] PROTOCOL/ADDRESS:PORT… asks all at once, and prints an answer a line
//
// PROTOCOL is tcp, udp, sctp or mcast (udp to a group that the server joins: mcast/GROUP:PORT). An
// answer says which server and port were reached, and the address that the server saw: "web:80 from
// 10.0.0.1". Without one the line says "none".
//
// For SCTP it sends INIT and INIT ACK itself over a raw socket, since a kernel may forward SCTP
// without having sockets for it.
package main
