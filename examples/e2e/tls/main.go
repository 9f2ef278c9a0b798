// Command tls makes a call of test.v1.Kinds with grpc-go over TLS, and prints its code:
//
//	tls PORT CA [CERTIFICATE KEY]
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

func main() {
	if len(os.Args) != 3 && len(os.Args) != 5 {
		log.Fatal("PORT CA [CERTIFICATE KEY]")
	}
	ca, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: roots}
	if len(os.Args) == 5 {
		certificate, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
		if err != nil {
			log.Fatal(err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	channel, err := grpc.NewClient(
		"passthrough:///localhost:"+os.Args[1],
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer channel.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = channel.Invoke(ctx, "/test.v1.Kinds/Unary", &emptypb.Empty{}, &emptypb.Empty{})
	fmt.Println(status.Code(err))
}
