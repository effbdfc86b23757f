// gRPC's interoperability cases by grpc-js: `client ADDRESS` prints a line a case, `server` its port.
'use strict'
const grpc = require('@grpc/grpc-js')

const same = (bytes) => bytes
const BASE = '/test.Interop/'
const TEXT = '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \ud83d\ude08 %41\t\n'
const LARGE = Buffer.alloc(3_000_000, 'x')

function assert (truth, what) { if (!truth) throw new Error(what) }

function unary (client, method, bytes, options = {}, metadata = new grpc.Metadata()) {
  return new Promise((resolve) => {
    const deadline = Date.now() + (options.timeout || 10_000)
    const call = client.makeUnaryRequest(BASE + method, same, same, bytes, metadata, { deadline },
      (error, answer) => resolve({ error, answer, initial: call.initial, status: call.status }))
    call.on('metadata', (found) => { call.initial = found })
    call.on('status', (status) => setImmediate(() => { call.status = status }))
    if (options.cancelAfter) setTimeout(() => call.cancel(), options.cancelAfter)
  })
}

const CASES = {
  async empty (client) {
    const { error, answer } = await unary(client, 'Empty', Buffer.alloc(0))
    assert(!error && answer.length === 0, error)
  },
  async large (client) {
    const { error, answer } = await unary(client, 'Echo', LARGE)
    assert(!error && answer.equals(LARGE), error)
  },
  async metadata (client) {
    const sent = new grpc.Metadata()
    const binary = Buffer.from(Array.from({ length: 256 }, (_, at) => at))
    sent.set('x-initial', 'said')
    sent.set('x-trailing-bin', binary)
    const { error, initial, answer } = await unary(client, 'Echo', Buffer.from('hello'), {}, sent)
    assert(!error && answer.toString() === 'hello', error)
    assert(initial.get('x-initial')[0] === 'said', 'initial metadata')
  },
  async status (client) {
    for (const code of Object.values(grpc.status).filter((value) => value > 0)) {
      const { error } = await unary(client, 'Status', Buffer.from(`${code} ${TEXT}`))
      assert(error && error.code === code && error.details === TEXT, `${code}: ${error}`)
    }
  },
  async unimplemented (client) {
    const { error } = await unary(client, 'Nothing', Buffer.alloc(0))
    assert(error && error.code === grpc.status.UNIMPLEMENTED, error)
  },
  async deadline (client) {
    const { error } = await unary(client, 'Sleep', Buffer.alloc(0), { timeout: 200 })
    assert(error && error.code === grpc.status.DEADLINE_EXCEEDED, error)
  },
  async cancelled (client) {
    const { error } = await unary(client, 'Sleep', Buffer.alloc(0), { cancelAfter: 100 })
    assert(error && error.code === grpc.status.CANCELLED, error)
  },
  clientStreaming (client) {
    return new Promise((resolve, reject) => {
      const call = client.makeClientStreamRequest(BASE + 'Total', same, same, new grpc.Metadata(),
        {}, (error, answer) => error ? reject(error) : resolve(assert(answer.toString() === '74922', answer)))
      for (const size of [27182, 8, 1828, 45904]) call.write(Buffer.alloc(size, 'x'))
      call.end()
    })
  },
  serverStreaming (client) {
    return new Promise((resolve, reject) => {
      const found = []
      const call = client.makeServerStreamRequest(BASE + 'Sizes', same, same,
        Buffer.from('31415 9 2653 58979 0 3000000'), new grpc.Metadata(), {})
      call.on('data', (bytes) => found.push(bytes.length))
      call.on('error', reject)
      call.on('end', () => resolve(assert(found.join() === '31415,9,2653,58979,0,3000000', found)))
    })
  },
  pingPong (client) {
    return new Promise((resolve, reject) => {
      const sizes = [27182, 8, 0, 1828, 45904]
      const call = client.makeBidiStreamRequest(BASE + 'Bounce', same, same, new grpc.Metadata(), {})
      let at = 0
      call.on('error', reject)
      call.on('data', (bytes) => {
        if (bytes.length !== sizes[at]) reject(new Error(`message ${at}: ${bytes.length} bytes`))
        at += 1
        if (at < sizes.length) call.write(Buffer.alloc(sizes[at], 'x'))
        else call.end()
      })
      call.on('end', () => resolve(assert(at === sizes.length, `${at} messages`)))
      call.write(Buffer.alloc(sizes[0], 'x'))
    })
  }
}

async function runClient (address) {
  const client = new grpc.Client(address, grpc.credentials.createInsecure())
  for (const [name, work] of Object.entries(CASES)) {
    try {
      await work(client)
      console.log(`ok ${name}`)
    } catch (error) {
      console.log(`FAILED ${name}: ${error}`)
    }
  }
  client.close()
}

function runServer () {
  const kind = (requestStream, responseStream) => (name) => [name, {
    path: BASE + name, requestStream, responseStream,
    requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same
  }]
  const methods = Object.fromEntries([
    ...['Empty', 'Echo', 'Status', 'Sleep'].map(kind(false, false)),
    kind(false, true)('Sizes'), kind(true, false)('Total'), kind(true, true)('Bounce')
  ])
  const server = new grpc.Server({ 'grpc.max_receive_message_length': 8 << 20 })
  server.addService(methods, {
    Empty: (call, done) => done(null, Buffer.alloc(0)),
    Echo: (call, done) => done(null, call.request),
    Sleep: () => {},
    Status: (call, done) => {
      const said = call.request.toString()
      const code = parseInt(said, 10)
      done({ code, details: said.slice(said.indexOf(' ') + 1) })
    },
    Sizes: (call) => {
      for (const size of call.request.toString().split(' ')) call.write(Buffer.alloc(+size, 's'))
      call.end()
    },
    Total: (call, done) => {
      let total = 0
      call.on('data', (bytes) => { total += bytes.length })
      call.on('end', () => done(null, Buffer.from(String(total))))
    },
    Bounce: (call) => {
      call.on('data', (bytes) => call.write(bytes))
      call.on('end', () => call.end())
    }
  })
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error
    console.log(port)
  })
}

if (process.argv[2] === 'client') runClient(process.argv[3])
else runServer()
