// gRPC's interoperability cases by grpc-go: `client ADDRESS` prints a line a case, `server` its port.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const base = "/test.Interop/"
const text = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001F608 %41\t\n"

// raw hands bytes over as they are.
type raw struct{}

func (raw) Marshal(v interface{}) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v interface{}) error {
	*v.(*[]byte) = append([]byte{}, data...)
	return nil
}
func (raw) Name() string   { return "raw" }
func (raw) String() string { return "raw" }

func unary(c *grpc.ClientConn, ctx context.Context, method string, in []byte, opts ...grpc.CallOption) ([]byte, error) {
	var out []byte
	err := c.Invoke(ctx, base+method, &in, &out, opts...)
	return out, err
}

func expect(truth bool, format string, values ...interface{}) error {
	if truth {
		return nil
	}
	return fmt.Errorf(format, values...)
}

func streamed(c *grpc.ClientConn, ctx context.Context, method string) (grpc.ClientStream, error) {
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	return c.NewStream(ctx, desc, base+method)
}

func sendAll(s grpc.ClientStream, sizes []int) error {
	for _, size := range sizes {
		message := bytes.Repeat([]byte("x"), size)
		if err := s.SendMsg(&message); err != nil {
			return err
		}
	}
	return s.CloseSend()
}

type work func(c *grpc.ClientConn, ctx context.Context) error

var names = []string{"empty", "large", "metadata", "status", "unimplemented", "deadline", "cancelled",
	"clientStreaming", "serverStreaming", "pingPong"}

var cases = map[string]work{
	"empty": func(c *grpc.ClientConn, ctx context.Context) error {
		out, err := unary(c, ctx, "Empty", nil)
		return expect(err == nil && len(out) == 0, "%v", err)
	},
	"large": func(c *grpc.ClientConn, ctx context.Context) error {
		in := bytes.Repeat([]byte("x"), 3000000)
		out, err := unary(c, ctx, "Echo", in)
		return expect(err == nil && bytes.Equal(in, out), "%v", err)
	},
	"metadata": func(c *grpc.ClientConn, ctx context.Context) error {
		binary := make([]byte, 256)
		for at := range binary {
			binary[at] = byte(at)
		}
		var initial, trailing metadata.MD
		ctx = metadata.AppendToOutgoingContext(ctx, "x-initial", "said", "x-trailing-bin", string(binary))
		_, err := unary(c, ctx, "Echo", []byte("hello"), grpc.Header(&initial), grpc.Trailer(&trailing))
		same := err == nil && initial.Get("x-initial")[0] == "said" && trailing.Get("x-trailing-bin")[0] == string(binary)
		return expect(same, "%v %v %v", err, initial, trailing)
	},
	"status": func(c *grpc.ClientConn, ctx context.Context) error {
		for code := codes.Code(1); code <= codes.Unauthenticated; code++ {
			_, err := unary(c, ctx, "Status", []byte(fmt.Sprintf("%d %s", code, text)))
			if s := status.Convert(err); s.Code() != code || s.Message() != text {
				return fmt.Errorf("%d: %v", code, err)
			}
		}
		return nil
	},
	"unimplemented": func(c *grpc.ClientConn, ctx context.Context) error {
		_, err := unary(c, ctx, "Nothing", nil)
		return expect(status.Code(err) == codes.Unimplemented, "%v", err)
	},
	"deadline": func(c *grpc.ClientConn, ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		_, err := unary(c, ctx, "Sleep", nil)
		return expect(status.Code(err) == codes.DeadlineExceeded, "%v", err)
	},
	"cancelled": func(c *grpc.ClientConn, ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err := unary(c, ctx, "Sleep", nil)
		return expect(status.Code(err) == codes.Canceled, "%v", err)
	},
	"clientStreaming": func(c *grpc.ClientConn, ctx context.Context) error {
		s, err := streamed(c, ctx, "Total")
		if err == nil {
			err = sendAll(s, []int{27182, 8, 1828, 45904})
		}
		var out []byte
		if err == nil {
			err = s.RecvMsg(&out)
		}
		return expect(err == nil && string(out) == "74922", "%v %s", err, out)
	},
	"serverStreaming": func(c *grpc.ClientConn, ctx context.Context) error {
		s, err := streamed(c, ctx, "Sizes")
		if err != nil {
			return err
		}
		in := []byte("31415 9 2653 58979 0 3000000")
		if err = s.SendMsg(&in); err == nil {
			err = s.CloseSend()
		}
		found := []string{}
		for err == nil {
			var out []byte
			if err = s.RecvMsg(&out); err == nil {
				found = append(found, strconv.Itoa(len(out)))
			}
		}
		said := strings.Join(found, " ")
		return expect(err == io.EOF && said == string(in), "%v %s", err, said)
	},
	"pingPong": func(c *grpc.ClientConn, ctx context.Context) error {
		s, err := streamed(c, ctx, "Bounce")
		if err != nil {
			return err
		}
		for _, size := range []int{27182, 8, 0, 1828, 45904} {
			in, out := bytes.Repeat([]byte("x"), size), []byte(nil)
			if err = s.SendMsg(&in); err == nil {
				err = s.RecvMsg(&out)
			}
			if err != nil || len(out) != size {
				return fmt.Errorf("%d: %v, %d bytes", size, err, len(out))
			}
		}
		s.CloseSend()
		var out []byte
		err = s.RecvMsg(&out)
		return expect(err == io.EOF, "%v", err)
	},
}

func client(address string) {
	c, err := grpc.Dial(address, grpc.WithInsecure(), grpc.WithBlock(),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(8<<20)))
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := cases[name](c, ctx); err != nil {
			fmt.Printf("FAILED %s: %v\n", name, err)
		} else {
			fmt.Printf("ok %s\n", name)
		}
		cancel()
	}
}

func serve(_ interface{}, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	var in []byte
	switch strings.TrimPrefix(method, base) {
	case "Bounce":
		for {
			if err := s.RecvMsg(&in); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(&in); err != nil {
				return err
			}
		}
	case "Total":
		total := 0
		for {
			if err := s.RecvMsg(&in); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			total += len(in)
		}
		out := []byte(strconv.Itoa(total))
		return s.SendMsg(&out)
	}
	if err := s.RecvMsg(&in); err != nil {
		return err
	}
	switch strings.TrimPrefix(method, base) {
	case "Empty", "Echo":
		return s.SendMsg(&in)
	case "Sleep":
		<-s.Context().Done()
		return s.Context().Err()
	case "Sizes":
		for _, size := range strings.Fields(string(in)) {
			count, _ := strconv.Atoi(size)
			out := bytes.Repeat([]byte("s"), count)
			if err := s.SendMsg(&out); err != nil {
				return err
			}
		}
		return nil
	case "Status":
		parts := strings.SplitN(string(in), " ", 2)
		code, _ := strconv.Atoi(parts[0])
		return status.Error(codes.Code(code), parts[1])
	}
	return status.Error(codes.Unimplemented, "unknown method")
}

func main() {
	if os.Args[1] == "client" {
		client(os.Args[2])
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	grpc.NewServer(grpc.CustomCodec(raw{}), grpc.UnknownServiceHandler(serve), grpc.MaxRecvMsgSize(8<<20)).Serve(listener)
}
