-- Ten questions to the tables of an experiment, for DuckDB. Run: duckdb < data/examples/questions.sql
-- Another experiment: replace out/shapes-bcos. The same in polars: questions.py. A test holds both equal.

-- 1. How well does each method point at its target, under each loss?
select method, loss, avg(value) as points, count(value) as maps
from 'out/shapes-bcos/evaluate/*.parquet'
where metric = 'grid_pointing_game' and variant = 'reference' and head = 'linear' and "offset" = 'none'
group by method, loss
order by method, loss;

-- 2. Which scores are undefined, and why?
select metric, reason, count(*) as maps
from 'out/shapes-bcos/evaluate/*.parquet'
where value is null
group by metric, reason
order by metric, reason;

-- 3. By how much does BCE beat CE on the same maps?
select bce.method, avg(bce.value - ce.value) as gain, count(bce.value - ce.value) as pairs
from 'out/shapes-bcos/evaluate/*.parquet' as bce
join 'out/shapes-bcos/evaluate/*.parquet' as ce using (item, target_index, method, seed, metric, variant)
where metric = 'grid_pointing_game' and variant = 'reference'
    and bce.head = 'linear' and bce."offset" = 'none' and bce.loss = 'bce' and bce.probe_id like 'linear-%'
    and ce.head = 'linear' and ce."offset" = 'none' and ce.loss = 'ce' and ce.probe_id like 'linear-%'
group by bce.method
order by bce.method;

-- 4. Which five maps point worst?
select item, target_index, probe_id, method, value
from 'out/shapes-bcos/evaluate/*.parquet'
where metric = 'grid_pointing_game' and variant = 'reference' and probe_id <> 'control' and value is not null
order by value, item, target_index, probe_id, method
limit 5;

-- 5. How far is each method from the best that its smoothing allows?
select maps.method, avg(maps.value) as points, avg(oracle.value) as ceiling
from 'out/shapes-bcos/evaluate/*.parquet' as maps
join 'out/shapes-bcos/evaluate/*.parquet' as oracle
    on oracle.method = 'oracle:' || maps.method and oracle.item = maps.item
    and oracle.target_index = maps.target_index and oracle.metric = maps.metric and oracle.variant = maps.variant
where maps.metric = 'grid_pointing_game' and maps.variant = 'reference' and oracle.probe_id = 'control'
group by maps.method
order by maps.method;

-- 6. Which classes are hardest to point at?
select target_class, avg(value) as points
from 'out/shapes-bcos/evaluate/*.parquet'
where metric = 'grid_pointing_game' and variant = 'reference' and probe_id <> 'control'
group by target_class
order by target_class;

-- 7. Does the place in the grid matter?
select grid_size, target_index, avg(value) as points
from 'out/shapes-bcos/evaluate/*.parquet'
where metric = 'grid_pointing_game' and variant = 'none' and probe_id <> 'control'
group by grid_size, target_index
order by grid_size, target_index;

-- 8. How accurate is each probe, and how sure where it is wrong?
select probe_id, avg((predicted = label)::double) as accuracy,
    avg(probability) filter (where predicted <> label) as confidence_when_wrong
from 'out/shapes-bcos/probe.predictions/*.parquet'
group by probe_id
order by probe_id;

-- 9. Do more accurate probes point better?
select probe_id, any_value(probes.test_accuracy) as accuracy, avg(scores.value) as points
from 'out/shapes-bcos/evaluate/*.parquet' as scores
join 'out/shapes-bcos/probe/*.parquet' as probes using (probe_id)
where scores.metric = 'grid_pointing_game' and scores.variant = 'reference'
group by probe_id
order by probe_id;

-- 10. How much does the smoothing before scoring change the score?
select method, avg(value) filter (where variant = 'reference') - avg(value) filter (where variant = 'none') as change
from 'out/shapes-bcos/evaluate/*.parquet'
where metric = 'grid_pointing_game' and probe_id <> 'control'
group by method
order by method;
