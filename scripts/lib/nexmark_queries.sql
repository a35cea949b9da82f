-- The Nexmark queries for DuckDB, independent of ours: what scripts/nexmark_check.py compares answers with. Each begins at a line
-- `-- NAME`, with `key COLUMNS` behind it where the answer is one that changes. Times are timestamps; bids, people and auctions are
-- the tables `bid`, `person`, `auction`.

-- q0
SELECT auction, bidder, price, dateTime, extra FROM bid

-- q1
SELECT auction, bidder, price * 908 / 1000.0 AS price, dateTime, extra FROM bid

-- q2
SELECT auction, price FROM bid WHERE auction % 123 = 0

-- q3
SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')

-- q4 key id
SELECT category AS id, avg(price) AS final FROM (
  SELECT a.id, a.category, max(b.price) AS price FROM auction a JOIN bid b ON b.auction = a.id
  WHERE b.dateTime BETWEEN a.dateTime AND a.expires GROUP BY a.id, a.category)
GROUP BY category

-- q5
SELECT auction, num FROM (
  SELECT auction, count(*) AS num, window_start, rank() OVER (PARTITION BY window_start ORDER BY count(*) DESC) AS place
  FROM (SELECT auction, unnest([time_bucket(INTERVAL 2 SECOND, dateTime) - i * INTERVAL 2 SECOND FOR i IN range(5)]) AS window_start
        FROM bid)
  GROUP BY auction, window_start) WHERE place = 1

-- q5w
SELECT auction, num, window_start, window_start + INTERVAL 10 SECOND AS window_end FROM (
  SELECT auction, count(*) AS num, window_start, rank() OVER (PARTITION BY window_start ORDER BY count(*) DESC) AS place
  FROM (SELECT auction, unnest([time_bucket(INTERVAL 2 SECOND, dateTime) - i * INTERVAL 2 SECOND FOR i IN range(5)]) AS window_start
        FROM bid)
  GROUP BY auction, window_start) WHERE place = 1

-- q6 key seller
SELECT seller, avg(price) AS avg_price FROM (
  SELECT seller, price, row_number() OVER (PARTITION BY seller ORDER BY dateTime DESC, id DESC) AS place FROM (
    SELECT a.seller, a.id, b.price, b.dateTime,
           row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.dateTime, b.bidder) AS place
    FROM auction a JOIN bid b ON b.auction = a.id WHERE b.dateTime BETWEEN a.dateTime AND a.expires)
  WHERE place = 1)
WHERE place <= 10 GROUP BY seller

-- q7
SELECT b.auction, b.price, b.bidder, b.dateTime, b.extra FROM bid b JOIN (
  SELECT max(price) AS price, time_bucket(INTERVAL 10 SECOND, dateTime) AS start FROM bid GROUP BY start) w
ON b.price = w.price AND b.dateTime BETWEEN w.start AND w.start + INTERVAL 10 SECOND

-- q8
SELECT DISTINCT p.id, p.name, p.stime FROM
  (SELECT *, time_bucket(INTERVAL 10 SECOND, dateTime) AS stime FROM person) p JOIN
  (SELECT *, time_bucket(INTERVAL 10 SECOND, dateTime) AS stime FROM auction) a ON p.id = a.seller AND p.stime = a.stime

-- q9 key id
SELECT * EXCLUDE place FROM (
  SELECT a.id, a.itemName, a.description, a.initialBid, a.reserve, a.dateTime, a.expires, a.seller, a.category, a.extra,
         b.auction, b.bidder, b.price, b.dateTime AS bid_dateTime, b.extra AS bid_extra,
         row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.dateTime, b.bidder, b.extra) AS place
  FROM auction a JOIN bid b ON b.auction = a.id WHERE b.dateTime BETWEEN a.dateTime AND a.expires)
WHERE place = 1

-- q10
SELECT auction, bidder, price, dateTime, extra, strftime(dateTime, '%Y-%m-%d') AS dt, strftime(dateTime, '%H:%M') AS hm FROM bid

-- q11
SELECT bidder, count(*) AS bid_count, min(dateTime) AS starttime, max(dateTime) + INTERVAL 10 SECOND AS endtime FROM (
  SELECT bidder, dateTime, sum(begins) OVER (PARTITION BY bidder ORDER BY dateTime ROWS UNBOUNDED PRECEDING) AS session FROM (
    SELECT bidder, dateTime, coalesce(
      dateTime - lag(dateTime) OVER (PARTITION BY bidder ORDER BY dateTime) > INTERVAL 10 SECOND, true)::INT AS begins FROM bid))
GROUP BY bidder, session

-- q12
SELECT bidder, count(*) AS bid_count FROM bid GROUP BY bidder

-- q12e
SELECT bidder, count(*) AS bid_count, start AS starttime, start + INTERVAL 10 SECOND AS endtime
FROM (SELECT bidder, time_bucket(INTERVAL 10 SECOND, dateTime) AS start FROM bid) GROUP BY bidder, start

-- q13
SELECT auction, bidder, price, dateTime, CAST(auction % 10000 AS VARCHAR) AS value FROM bid

-- q14
SELECT auction, bidder, price * 908 / 1000.0 AS price,
       CASE WHEN hour(dateTime) BETWEEN 8 AND 18 THEN 'dayTime' WHEN hour(dateTime) <= 6 OR hour(dateTime) >= 20 THEN 'nightTime'
            ELSE 'otherTime' END AS bidTimeType,
       dateTime, extra, length(extra) - length(replace(extra, 'c', '')) AS c_counts
FROM bid WHERE price * 908 > 1000000000 AND price * 908 < 50000000000

-- q15 key day
SELECT strftime(dateTime, '%Y-%m-%d') AS day, count(*) AS total_bids,
       count(*) FILTER (price < 10000) AS rank1_bids, count(*) FILTER (price >= 10000 AND price < 1000000) AS rank2_bids,
       count(*) FILTER (price >= 1000000) AS rank3_bids,
       count(DISTINCT bidder) AS total_bidders, count(DISTINCT bidder) FILTER (price < 10000) AS rank1_bidders,
       count(DISTINCT bidder) FILTER (price >= 10000 AND price < 1000000) AS rank2_bidders,
       count(DISTINCT bidder) FILTER (price >= 1000000) AS rank3_bidders,
       count(DISTINCT auction) AS total_auctions, count(DISTINCT auction) FILTER (price < 10000) AS rank1_auctions,
       count(DISTINCT auction) FILTER (price >= 10000 AND price < 1000000) AS rank2_auctions,
       count(DISTINCT auction) FILTER (price >= 1000000) AS rank3_auctions
FROM bid GROUP BY day

-- q16 key channel day
SELECT channel, strftime(dateTime, '%Y-%m-%d') AS day, max(strftime(dateTime, '%H:%M')) AS minute, count(*) AS total_bids,
       count(*) FILTER (price < 10000) AS rank1_bids, count(*) FILTER (price >= 10000 AND price < 1000000) AS rank2_bids,
       count(*) FILTER (price >= 1000000) AS rank3_bids,
       count(DISTINCT bidder) AS total_bidders, count(DISTINCT bidder) FILTER (price < 10000) AS rank1_bidders,
       count(DISTINCT bidder) FILTER (price >= 10000 AND price < 1000000) AS rank2_bidders,
       count(DISTINCT bidder) FILTER (price >= 1000000) AS rank3_bidders,
       count(DISTINCT auction) AS total_auctions, count(DISTINCT auction) FILTER (price < 10000) AS rank1_auctions,
       count(DISTINCT auction) FILTER (price >= 10000 AND price < 1000000) AS rank2_auctions,
       count(DISTINCT auction) FILTER (price >= 1000000) AS rank3_auctions
FROM bid GROUP BY channel, day

-- q17 key auction day
SELECT auction, strftime(dateTime, '%Y-%m-%d') AS day, count(*) AS total_bids,
       count(*) FILTER (price < 10000) AS rank1_bids, count(*) FILTER (price >= 10000 AND price < 1000000) AS rank2_bids,
       count(*) FILTER (price >= 1000000) AS rank3_bids,
       min(price) AS min_price, max(price) AS max_price, avg(price) AS avg_price, sum(price)::BIGINT AS sum_price
FROM bid GROUP BY auction, day

-- q18 key bidder auction
SELECT auction, bidder, price, channel, url, dateTime, extra FROM (
  SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY dateTime DESC, price DESC, channel DESC, url DESC, extra DESC) AS place
  FROM bid) WHERE place = 1

-- q19 key auction rank_number
SELECT auction, bidder, price, channel, url, dateTime, extra, rank_number FROM (
  SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, dateTime, bidder, channel, url, extra) AS rank_number
  FROM bid) WHERE rank_number <= 10

-- q20
SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.dateTime AS bid_dateTime, b.extra AS bid_extra, a.itemName, a.description,
       a.initialBid, a.reserve, a.dateTime AS auction_dateTime, a.expires, a.seller, a.category, a.extra AS auction_extra
FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10

-- q21
SELECT * FROM (
  SELECT auction, bidder, price, channel,
         CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
              ELSE CASE WHEN regexp_matches(url, '(&|^)channel_id=') THEN regexp_extract(url, '(&|^)channel_id=([^&]*)', 2) END
         END AS channel_id
  FROM bid) WHERE channel_id IS NOT NULL

-- q22
SELECT auction, bidder, price, channel, string_split(url, '/')[4] AS dir1, string_split(url, '/')[5] AS dir2,
       string_split(url, '/')[6] AS dir3
FROM bid

-- q23
SELECT b.bidder, b.price, p.id AS person_id, p.name, a.itemName, a.seller, a.id AS auction
FROM bid b JOIN person p ON b.bidder = p.id JOIN auction a ON a.seller = p.id
