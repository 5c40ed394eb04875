// TimescaleDB as a WebAssembly build, on one socket. Usage: node server.mjs FOLDER PORT
// Prints "ready" once it answers, and ends with SIGTERM. Its modules are those of NODE_PATH's folder.

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const modules = createRequire(process.env.RETAPE_MODULES + '/package.json')
const load = (name) => import(pathToFileURL(modules.resolve(name)))

const [folder, port] = process.argv.slice(2)
const { PGlite } = await load('@electric-sql/pglite')
const { timescaledb } = await load('@electric-sql/pglite/timescaledb')
const { PGLiteSocketServer } = await load('@electric-sql/pglite-socket')

const db = await PGlite.create({ dataDir: folder, extensions: { timescaledb } })
await db.exec('create extension if not exists timescaledb')
// Nothing is preloaded here: without this a database that is opened again takes no rows.
const { rows } = await db.query("select extversion from pg_extension where extname = 'timescaledb'")
await db.exec(`load 'timescaledb'; load '$libdir/timescaledb-tsl-${rows[0].extversion}'`)
const server = new PGLiteSocketServer({ db, port: Number(port), host: '127.0.0.1' })
await server.start()
console.log('ready')

process.on('SIGTERM', async () => {
  await server.stop()
  await db.close()
  process.exit(0)
})
