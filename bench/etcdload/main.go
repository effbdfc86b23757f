// etcdload puts closed-loop load on an etcd cluster and prints one line of JSON: operations, rate,
// latencies, the longest silence, the CPU time of this process and of the servers, and how many of
// the values read back afterwards differ from what was acknowledged.
//
// It is built against Debian's golang-etcd-server-dev, with GO111MODULE=off: see bench/etcd.py.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/clientv3"
)

var (
	endpoints = flag.String("endpoints", "127.0.0.1:2379", "client addresses, with commas")
	op        = flag.String("op", "put", "put, get, txn, or fill (txn over fresh keys, up to -keys)")
	clients   = flag.Int("clients", 64, "concurrent callers")
	conns     = flag.Int("conns", 4, "connections that they share")
	size      = flag.Int("val", 256, "bytes of a value")
	batch     = flag.Int("batch", 1, "puts in one transaction")
	keys      = flag.Int("keys", 1024, "keys over all callers")
	secs      = flag.Float64("secs", 3, "how long")
	limit     = flag.Duration("timeout", 10*time.Second, "of one call")
	secured   = flag.String("tls", "", "directory of ca.crt, admin.crt and admin.key: TLS")
	pids      = flag.String("pids", "", "servers whose CPU time to tell, with commas")
)

// caller is one closed loop; only its own goroutine touches it while the load runs.
type caller struct {
	number    int
	client    *clientv3.Client
	latencies []float64 // seconds
	ends      []float64 // seconds since the start
	said      map[string]string
	errors    int
	firstErr  string
}

func value(caller, n int) string {
	text := fmt.Sprintf("%d:%d:", caller, n)
	if len(text) < *size {
		text += strings.Repeat("x", *size-len(text))
	}
	return text
}

func (c *caller) key(n int) string {
	mine := *keys / *clients
	if mine < 1 {
		mine = 1
	}
	return fmt.Sprintf("key-%d-%d", c.number, n%mine)
}

// step makes call number n. It returns the writes to remember, or an error.
func (c *caller) step(n int, filled *int64) (map[string]string, bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	wrote := map[string]string{}
	switch *op {
	case "get":
		_, err := c.client.Get(ctx, c.key(n))
		return wrote, false, err
	case "put":
		key, text := c.key(n), value(c.number, n)
		wrote[key] = text
		_, err := c.client.Put(ctx, key, text)
		return wrote, false, err
	}
	ops := make([]clientv3.Op, 0, *batch)
	text := value(c.number, n)
	for i := 0; i < *batch; i++ {
		key := c.key(n) + "-" + strconv.Itoa(i)
		if *op == "fill" {
			at := atomic.AddInt64(filled, 1) - 1
			if at >= int64(*keys) {
				break
			}
			key = fmt.Sprintf("fill-%012d", at)
		} else {
			wrote[key] = text
		}
		ops = append(ops, clientv3.OpPut(key, text))
	}
	if len(ops) == 0 {
		return wrote, true, nil
	}
	_, err := c.client.Txn(ctx).Then(ops...).Commit()
	return wrote, false, err
}

func (c *caller) run(start, end time.Time, filled *int64) {
	for n := 0; *op == "fill" || time.Now().Before(end); n++ {
		began := time.Now()
		wrote, done, err := c.step(n, filled)
		if done {
			return
		}
		if err != nil {
			c.errors++
			if c.firstErr == "" {
				c.firstErr = err.Error()
			}
			for key := range wrote {
				delete(c.said, key) // it may have happened or not
			}
			if *op == "fill" {
				return
			}
			continue
		}
		for key, text := range wrote {
			c.said[key] = text
		}
		c.latencies = append(c.latencies, time.Since(began).Seconds())
		c.ends = append(c.ends, time.Since(start).Seconds())
	}
}

// cpu is the processor time of a process in seconds: fields 14 and 15 of /proc/PID/stat.
func cpu(pid string) float64 {
	raw, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0
	}
	text := string(raw)
	fields := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

func own() float64 {
	var use syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return time.Duration(use.Utime.Nano() + use.Stime.Nano()).Seconds()
}

func all(list []string) map[string]float64 {
	found := map[string]float64{}
	for _, pid := range list {
		found[pid] = cpu(pid)
	}
	return found
}

// different counts the acknowledged values that a fresh connection does not find.
func different(callers []*caller) (int, int) {
	fresh := connect()
	defer fresh.Close()
	wrong, checked := 0, 0
	for _, c := range callers {
		for key, text := range c.said {
			if checked == 1000 {
				return checked, wrong
			}
			checked++
			ctx, cancel := context.WithTimeout(context.Background(), *limit)
			answer, err := fresh.Get(ctx, key)
			cancel()
			if err != nil || len(answer.Kvs) != 1 || string(answer.Kvs[0].Value) != text {
				wrong++
			}
		}
	}
	return checked, wrong
}

// credentials are those of the client whose certificate lies in a directory.
func credentials(directory string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(directory+"/admin.crt", directory+"/admin.key")
	authority, failed := os.ReadFile(directory + "/ca.crt")
	if err != nil || failed != nil {
		fmt.Fprintln(os.Stderr, "etcdload:", err, failed)
		os.Exit(1)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
}

func connect() *clientv3.Client {
	config := clientv3.Config{Endpoints: strings.Split(*endpoints, ","), DialTimeout: 5 * time.Second}
	if *secured != "" {
		config.TLS = credentials(*secured)
	}
	client, err := clientv3.New(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcdload:", err)
		os.Exit(1)
	}
	return client
}

func main() {
	flag.Parse()
	shared := []*clientv3.Client{}
	for i := 0; i < *conns; i++ {
		client := connect()
		ctx, cancel := context.WithTimeout(context.Background(), *limit)
		_, err := client.Get(ctx, "warm-up") // connected before the clock starts
		cancel()
		if err != nil {
			fmt.Fprintln(os.Stderr, "etcdload:", err)
			os.Exit(1)
		}
		shared = append(shared, client)
	}
	callers := []*caller{}
	for i := 0; i < *clients; i++ {
		callers = append(callers, &caller{number: i, client: shared[i%len(shared)], said: map[string]string{}})
	}
	servers := strings.FieldsFunc(*pids, func(r rune) bool { return r == ',' })

	var group sync.WaitGroup
	var filled int64
	before, mine, start := all(servers), own(), time.Now()
	end := start.Add(time.Duration(*secs * float64(time.Second)))
	for _, c := range callers {
		group.Add(1)
		go func(c *caller) {
			defer group.Done()
			c.run(start, end, &filled)
		}(c)
	}
	group.Wait()
	seconds := time.Since(start).Seconds()
	selfCPU, after := own()-mine, all(servers)

	latencies, ends, errors, why := []float64{}, []float64{}, 0, ""
	for _, c := range callers {
		latencies = append(latencies, c.latencies...)
		ends = append(ends, c.ends...)
		errors += c.errors
		if why == "" {
			why = c.firstErr
		}
	}
	if len(latencies) == 0 {
		fmt.Fprintln(os.Stderr, "etcdload: not one call succeeded:", why)
		os.Exit(1)
	}
	sort.Float64s(latencies)
	sort.Float64s(ends)
	silence := 0.0
	for i := 1; i < len(ends); i++ {
		if ends[i]-ends[i-1] > silence {
			silence = ends[i] - ends[i-1]
		}
	}
	used := map[string]float64{}
	for pid := range after {
		used[pid] = after[pid] - before[pid]
	}
	count := len(latencies)
	operations := count * *batch
	if *op == "fill" && filled > int64(*keys) {
		operations = *keys
	}
	checked, wrong := different(callers)
	at := func(share float64) float64 { return latencies[int(float64(count-1)*share)] * 1e3 }
	_ = json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"ops": operations, "seconds": seconds, "rate": float64(operations) / seconds,
		"p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": latencies[count-1] * 1e3,
		"silence_ms": silence * 1e3, "errors": errors, "first_error": why,
		"client_cpu_s": selfCPU, "server_cpu_s": used, "checked": checked, "wrong": wrong,
	})
}
